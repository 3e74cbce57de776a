"""The records that toolchains, jobs and servers hand to the rest of the pipeline."""

import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.toolchains.host_checks import Obstacle


class Toolchain(Frozen):
    """An installed toolchain, ready to run workers."""

    name: str = Field(description="Name in toolchains.yaml, such as aot-cpu.")
    root: Path = Field(description="Directory of the installation.")
    python: Path = Field(description="Its interpreter.")
    bin_dir: Path = Field(description="Its directory of programs.")
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
    program_dirs: tuple[Path, ...] = Field(
        default=(), description="Directories of the host programs that it needs."
    )
    temporary_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir(), f"enginery-{os.getuid()}"),
        description="Where each of its jobs and servers has a directory of its own for temporary files.",
    )
    stand_in: bool = Field(
        default=False,
        description="Holds a stand-in of its tool: what it makes is never judged or published.",
    )


class NotInstalled(Frozen):
    """A toolchain is not there (yet): why, and what to do about it."""

    name: str = Field(description="Name in toolchains.yaml.")
    reason: str = Field(description="One sentence.")
    fix: str = Field(description="What to do next, if possible the command to type.")
    obstacles: tuple[Obstacle, ...] = Field(
        default=(), description="What keeps this host from holding it; empty if it can be installed."
    )


class Worker(Frozen):
    """A module that runs as a program, with one directory of ours to import from."""

    module: str = Field(description="Such as tasks.workers.aot.build.")
    import_path: Path = Field(description="Directory that holds it and everything of ours that it imports.")


class JobOutcome(Frozen):
    """A worker's result, with what its run cost."""

    metrics: dict[str, Any] = Field(description="Numbers and facts of the work.")
    tools: dict[str, str] = Field(description="Versions of the tools that had a part in it.")
    wall_s: float = Field(ge=0, description="Seconds from start to end of the worker's process.")
    cpu_s: float = Field(
        ge=0, description="Processor seconds, of the worker and the processes it waited for."
    )
    peak_rss_bytes: int = Field(ge=0, description="Largest resident size of any one of its processes.")


class Server(Frozen):
    """A running server that answered its readiness probe."""

    base_url: str = Field(description="Such as http://127.0.0.1:24731, without a slash at the end.")
    model: str = Field(description="Value of `model` in requests to it.")
    pid: int = Field(description="Process id of the server itself.")
    log: Path = Field(description="File that holds all that it printed.")
    ready_s: float = Field(ge=0, description="Seconds from start to the first answer of the readiness probe.")
