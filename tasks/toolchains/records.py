"""The records that toolchains, jobs and servers hand to the rest of the pipeline."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny

from artifacts.frozen import Frozen
from tasks.errors import WorkerFailed
from tasks.toolchains.declarations import declaration
from tasks.toolchains.host_checks import Obstacle
from tasks.toolchains.launcher import DirectLauncher, Launcher
from tasks.workers.common.records import InvalidRecord, R, read_record


class Difference(Frozen):
    """One distribution that is not as the lock of a toolchain names it."""

    name: str = Field(description="Normalised name.")
    locked: str | None = Field(description="Version that the lock names; None if it names none.")
    found: str | None = Field(description="Version that is there; None if it is missing.")

    def __str__(self) -> str:
        return f"{self.name} {self.found or 'is missing'} (lock: {self.locked or 'none'})"


class Provenance(Frozen):
    """Where a toolchain comes from, for the record of what was made with it."""

    name: str = Field(description="Name in toolchains.yaml.")
    provider: str = Field(description="Name of the provider, such as lock.")
    adopted: bool = Field(description="Whether it was already there, rather than installed from its lock.")
    identity: str = Field(description="Digest of what is actually there.")
    differences: tuple[Difference, ...] = Field(description="What is not as the lock names it.")

    def __str__(self) -> str:
        if not self.adopted and not self.differences:
            return f"{self.name} ({self.provider})"
        count = len(self.differences)
        packages = "1 package differs" if count == 1 else f"{count} packages differ"
        how = "adopted" if self.adopted else "another lock"
        return f"{self.name} ({self.provider}, {how}: {packages} from its lock)"


class Toolchain(Frozen):
    """A toolchain that is ready to run programs; only its launcher knows how they are started."""

    name: str = Field(description="Name in toolchains.yaml, such as aot-cpu.")
    provider: str = Field(default="none", description="Name of the provider that it comes from.")
    place: str = Field(default="", description="Where it is, for people: a directory, interpreter or image.")
    root: Path = Field(description="Our directory for it; what it keeps between jobs is there.")
    python: Path = Field(description="Its interpreter, by the path that its programs see.")
    bin_dir: Path = Field(description="Its directory of programs, by the path that its programs see.")
    launcher: SerializeAsAny[Launcher] = Field(
        default_factory=DirectLauncher, description="Starts its programs, and says how they are ended."
    )
    accelerator: Literal["cpu", "cuda"] = Field(
        default="cpu", description="What its kernels run on; cuda: its jobs and servers hold GPUs."
    )
    identity: str = Field(description="Digest (64 hex) of what is actually installed; enters fingerprints.")
    versions: dict[str, str] = Field(
        description="Installed distributions and their versions, by normalised name."
    )
    env: dict[str, str] = Field(
        default_factory=dict, description="Environment that the tool needs, as declared."
    )
    tool_env: dict[str, str] = Field(
        default_factory=dict, description="Variables that the user hands to tools on purpose."
    )
    adopted: bool = Field(
        default=False, description="Whether it was already there, rather than installed from its lock."
    )
    differences: tuple[Difference, ...] = Field(
        default=(), description="What is not as the lock names it, if the toolchain was adopted."
    )
    program_dirs: tuple[Path, ...] = Field(
        default=(), description="Directories of the host programs that it needs."
    )
    temporary_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir(), f"enginery-{os.getuid()}"),
        description="Where each of its jobs and servers gets a directory of its own for temporary files.",
    )
    stand_in: bool = Field(
        default=False,
        description="Holds a stand-in of its tool: what it makes is never judged or published.",
    )

    def gpus_held(self, devices: int) -> int:
        """How many GPUs a job or server on so many devices holds: none if it computes on the CPU."""
        return devices if self.accelerator == "cuda" else 0

    def provenance(self) -> Provenance:
        """Where it comes from, for the record of what was made with it."""
        return Provenance(
            name=self.name,
            provider=self.provider,
            adopted=self.adopted,
            identity=self.identity,
            differences=self.differences,
        )


def tool_of(toolchain: Toolchain) -> str:
    """Return the tool that a toolchain exists for, with its version, such as `vllm 0.32.0`."""
    tool = declaration(toolchain.name).tool
    return f"{tool} {toolchain.versions.get(tool, '')}".strip()


class NotInstalled(Frozen):
    """A toolchain is not there (yet): why, and what to do about it."""

    name: str = Field(description="Name in toolchains.yaml.")
    provider: str = Field(default="none", description="Name of the provider that it would come from.")
    reason: str = Field(description="One sentence.")
    fix: str = Field(description="What to do next, if possible the command to type.")
    obstacles: tuple[Obstacle, ...] = Field(
        default=(), description="What keeps this host from holding it; empty if it can be installed."
    )

    @classmethod
    def because(
        cls, name: str, obstacles: Sequence[Obstacle], *, otherwise: tuple[str, str]
    ) -> "NotInstalled":
        """The record for these obstacles; `otherwise` gives reason and fix if there are none."""
        if not obstacles:
            return cls(name=name, reason=otherwise[0], fix=otherwise[1])
        first, *others = obstacles
        reason = f"this host cannot hold it: {first.reason}"
        if not others:
            return cls(name=name, reason=reason, fix=first.fix, obstacles=tuple(obstacles))
        more = f" (and {len(others)} more reason{'s' if others[1:] else ''})"
        fix = f"enginery toolchain install {name} lists each, with its fix"
        return cls(name=name, reason=reason + more, fix=fix, obstacles=tuple(obstacles))


class Worker(Frozen):
    """A module that runs as a program, with one directory of ours to import from."""

    module: str = Field(description="Such as tasks.workers.aot.build.")
    import_path: Path = Field(description="Directory that holds it and everything of ours that it imports.")


class JobOutcome(Frozen):
    """A worker's result, with the time and memory that its run took."""

    metrics: dict[str, Any] = Field(
        description="Numbers and facts of the work, for the record; code reads them by `metrics_as`."
    )
    tools: dict[str, str] = Field(description="Versions of the tools that took part.")
    wall_s: float = Field(ge=0, description="Seconds from start to end of the worker's process.")
    cpu_s: float = Field(
        ge=0,
        description="Processor seconds of the worker and the processes that it waited for; if it ran in a "
        "container, of the container's client.",
    )
    peak_rss_bytes: int = Field(
        ge=0,
        description="Largest resident size of any of its processes; if it ran in a container, of the "
        "container's client.",
    )

    def metrics_as(self, kind: type[R]) -> R:
        """Return the metrics as the record that the worker wrote them from.

        Raises:
            WorkerFailed: they are not that record.
        """
        try:
            return read_record(kind, self.metrics, "metrics")
        except InvalidRecord as error:
            what = f"a worker reported metrics that are not a {kind.__name__}: {error}"
            raise WorkerFailed(what, fix="this is a defect of the worker: report it with the log") from error


class Server(Frozen):
    """A running server that answered its readiness probe."""

    base_url: str = Field(description="Such as http://127.0.0.1:24731, without a slash at the end.")
    model: str = Field(description="Value of `model` in requests to it.")
    pid: int = Field(description="Process id of the server itself.")
    log: Path = Field(description="File that holds everything it printed.")
    ready_s: float = Field(ge=0, description="Seconds from start to the first answer of the readiness probe.")
