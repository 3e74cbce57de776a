"""How a program of a toolchain is started on this host, and how it is ended.

Whoever runs a program says what it is and what it touches; the toolchain's launcher makes the command of
that.
Invariants:
- Paths are the same for the program as for the host: what names a file in a request or an argument list stays
  true wherever the program runs.
- A program sees the variables that are named for it, and may write to what is named for writing.
- `end` is run where the command was ended from outside or killed: the program may run elsewhere than in the
  processes that the command consists of.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from artifacts.frozen import Frozen


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is to run.

    Attributes:
        argv: the argument list.
        env: all of its environment.
        directory: where it works; what starts it works there, too, if it is None.
        reads: directories and files that it reads.
        writes: directories that it writes to.
        gpus: UUIDs of the GPUs that it computes on, in the driver's order.
        listens: whether others talk to it over the host's loopback; nothing else needs a network.
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
    """What starts a program on this host.

    Attributes:
        argv: the argument list.
        env: the environment of that command.
        end: command that ends the program if `argv` was ended or killed; empty: it ends with its processes.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    end: tuple[str, ...] = field(default=())


class Launcher(Frozen, ABC):
    """Starts the programs of one toolchain."""

    @abstractmethod
    def launch(self, program: Program) -> Launch:
        """The command that starts this program; each call is for one start."""


class DirectLauncher(Launcher):
    """The program is a process of this host, as it stands."""

    def launch(self, program: Program) -> Launch:
        """The program's own argument list and environment."""
        return Launch(program.argv, program.env)
