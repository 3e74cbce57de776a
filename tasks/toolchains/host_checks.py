"""What keeps a host from having a toolchain, reported all at once, and the checks that all providers make."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.version import Version
from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import GpusFound, NoGpus, probe_gpus
from artifacts.settings import Settings
from tasks.errors import ToolchainUnavailable
from tasks.toolchains.declarations import Declaration

_SPLITS = re.compile(r"[\s'\"\\]")


class Obstacle(Frozen):
    """One thing that keeps a host from having a toolchain."""

    reason: str = Field(description="One sentence, without a full stop.")
    fix: str = Field(description="What to do about it, if possible the command to type.")


def unavailable(name: str, obstacles: Sequence[Obstacle]) -> ToolchainUnavailable:
    """The error that lists all obstacles; a single one keeps its own words."""
    if len(obstacles) == 1:
        return ToolchainUnavailable(obstacles[0].reason, fix=obstacles[0].fix)
    reasons = _numbered([each.reason for each in obstacles])
    what = f"this host cannot use toolchain {name}, for {len(obstacles)} reasons:{reasons}"
    return ToolchainUnavailable(what, fix=f"each of them:{_numbered([each.fix for each in obstacles])}")


class HostProgram(Frozen):
    """A program of the host that a toolchain needs."""

    path: Path
    version: str = Field(description="First line that it prints when asked for its version.")


def machine_obstacles(declared: Declaration, machine: str | None = None) -> Iterator[Obstacle]:
    """An obstacle if the toolchain is not for this machine type, or not for the one named."""
    if (here := machine or platform.machine()) != declared.machine:
        reason = f"toolchain {declared.name} is for {declared.machine}, and this host is {here}"
        yield Obstacle(reason=reason, fix="use a host of that machine type")


def program_obstacles(declared: Declaration) -> Iterator[Obstacle]:
    """An obstacle if the host lacks programs that the toolchain works with.

    On processors, what compiles needs g++ even if it is no part of what the toolchain is: vLLM then does not
    start.
    """
    compiler = {"g++": "g++"} if declared.compiles and declared.accelerator == "cpu" else {}
    try:
        find_programs(declared.programs | compiler)
    except ToolchainUnavailable as error:
        yield Obstacle(reason=error.what, fix=error.fix)


def path_obstacles(declared: Declaration, settings: Settings) -> Iterator[Obstacle]:
    """An obstacle if the toolchain calls compilers and their command lines would fall apart at a path.

    torch writes such command lines without quoting, and splits them as a shell does.
    """
    paths = {
        "HOME": Path.home(),
        "ENGINERY_HOME": settings.home,
        "ENGINERY_TOOLCHAINS_DIR": settings.toolchains_dir,
    }
    split = {name: path for name, path in paths.items() if _SPLITS.search(str(path))}
    if declared.compiles and split:
        named = ", ".join(f"{name} is {path}" for name, path in split.items())
        reason = (
            f"toolchain {declared.name} calls compilers, which take no path with blanks or quotes: {named}"
        )
        fix = f"set {' and '.join(split)} to a directory without them"
        yield Obstacle(reason=reason, fix=fix)


def driver_obstacles(declared: Declaration) -> Iterator[Obstacle]:
    """An obstacle if a CUDA toolchain finds no GPU, or a driver that is too old."""
    if declared.driver is None:
        return
    found = probe_gpus()
    if isinstance(found, NoGpus) or not found.gpus:
        why = found.reason if isinstance(found, NoGpus) else f"driver {found.driver} reports none"
        fix = f"use a host with an NVIDIA GPU, and install its driver: {declared.driver.floor} or newer"
        yield Obstacle(reason=f"toolchain {declared.name} needs an NVIDIA GPU, and {why}", fix=fix)
    yield from old_driver_obstacles(declared)


def old_driver_obstacles(declared: Declaration) -> Iterator[Obstacle]:
    """An obstacle if this host has a driver, and a CUDA toolchain needs a newer one."""
    found = probe_gpus() if declared.driver else None
    if declared.driver is None or not isinstance(found, GpusFound):
        return
    if Version(found.driver) < Version(declared.driver.floor):
        wanted = f"NVIDIA driver {declared.driver.floor} or newer"
        reason = f"toolchain {declared.name} needs {wanted}, and this host has {found.driver}"
        yield Obstacle(reason=reason, fix=f"install {wanted}; `nvidia-smi` shows which one is loaded")


def find_programs(programs: dict[str, str]) -> dict[str, HostProgram]:
    """The named programs on PATH; `programs` gives the Debian package of each.

    Raises ToolchainUnavailable, which names all that are missing.
    """
    found = {name: shutil.which(name) for name in programs}
    if missing := [name for name, path in found.items() if path is None]:
        packages = " ".join(programs[name] for name in missing)
        raise ToolchainUnavailable(
            f"this toolchain needs programs that are not on PATH: {', '.join(missing)}",
            fix=f"apt install {packages}",
        )
    return {
        name: HostProgram(path=Path(path), version=_version(path)) for name, path in found.items() if path
    }


def _version(path: str) -> str:
    done = subprocess.run([path, "--version"], check=True, text=True, capture_output=True)
    return done.stdout.partition("\n")[0].strip()


def version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version such as 12.4, for comparison."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _numbered(sentences: Sequence[str]) -> str:
    return "".join(f"\n    {number}. {sentence}" for number, sentence in enumerate(sentences, 1))
