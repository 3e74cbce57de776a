"""How a program of a toolchain is started on this host, and how it is ended.

The caller says what the program is and what it touches; the toolchain's launcher turns that into a command.

Invariants:
- Paths are the same for the program as for the host: a path in a request or an argument list is valid
  wherever the program runs.
- A program sees only the variables that are given to it, and may write only to the directories in `writes`.
- `end` is run if the command was ended from outside or killed, because the program may run outside the
  processes that the command consists of.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from artifacts.frozen import Frozen


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run.

    Attributes:
        argv: the argument list.
        env: its whole environment.
        directory: its working directory; None: that of the process which starts it.
        reads: directories and files that it reads.
        writes: directories that it writes to.
        gpus: UUIDs of the GPUs that it computes on, in the driver's order.
        listens: whether others connect to it over the host's loopback; no other program needs a network.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: Path | None = None
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    gpus: tuple[str, ...] = ()
    listens: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """The command that starts a program on this host.

    Attributes:
        argv: the argument list.
        env: the environment of that command.
        end: the command that ends the program if `argv` was ended or killed; empty: it ends with its
            processes.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    end: tuple[str, ...] = field(default=())


class Launcher(Frozen, ABC):
    """Starts the programs of one toolchain."""

    @property
    def plain(self) -> bool:
        """Whether its programs are plain processes of this host, which signals reach."""
        return False

    @abstractmethod
    def launch(self, program: Program) -> Launch:
        """The command that starts this program; each call is for one start."""

    def shown(self, directory: Path) -> "Launcher | None":  # noqa: ARG002  some have nothing to hide
        """This launcher for a command that is shown, not run: what differs between starts is a placeholder.

        `directory` is the placeholder of the toolchain's own directory. None if it starts programs directly,
        by paths of this host.
        """
        return None


class DirectLauncher(Launcher):
    """Starts the program as a plain process of this host."""

    @property
    def plain(self) -> bool:
        """They are."""
        return True

    def launch(self, program: Program) -> Launch:
        """The program's own argument list and environment."""
        return Launch(program.argv, program.env)
