"""Whether this host can hold a toolchain: all that is in the way, found without installing anything."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from artifacts.hosts import NoGpus, probe_gpus
from artifacts.settings import Settings
from tasks.errors import ToolchainUnavailable
from tasks.toolchains.declarations import Declaration
from tasks.toolchains.host_checks import Obstacle
from tasks.toolchains.providers.lock.content import tree_bytes
from tasks.toolchains.providers.lock.interpreter import find_interpreter, find_programs
from tasks.toolchains.providers.lock.wheelhouse import Chosen, Lacking, choose_wheels

# Room for what pip downloads before it unpacks.
DISK_FACTOR = 1.5
# A wheel of libraries takes about twice its size once unpacked.
UNPACKED_FACTOR = 2


def obstacles(declared: Declaration, settings: Settings) -> tuple[Obstacle, ...]:
    """All that is in the way, what is hardest to mend first."""
    wheels = choose_wheels(declared, settings.wheelhouse)
    return (
        *_machine(declared),
        *_driver(declared),
        *_c_library(declared),
        *_brought_by_the_host(declared),
        *(wheels.obstacles if isinstance(wheels, Lacking) else ()),
        *_space(declared, settings.toolchains_dir, wheels),
    )


def unusable(declared: Declaration) -> tuple[Obstacle, ...]:
    """What is in the way of using it even where it is installed."""
    return (*_machine(declared), *_brought_by_the_host(declared))


def _machine(declared: Declaration) -> Iterator[Obstacle]:
    if (here := platform.machine()) != declared.machine:
        reason = f"toolchain {declared.name} is for {declared.machine}, and this host is {here}"
        yield Obstacle(reason=reason, fix="use a host of that machine type")


def _c_library(declared: Declaration) -> Iterator[Obstacle]:
    name, version = platform.libc_ver()
    if name != "glibc" or _numbers(version) < _numbers(declared.glibc):
        found = f"{name or 'another C library'} {version}".strip()
        reason = f"its packages need glibc {declared.glibc} or newer, and this host has {found}"
        yield Obstacle(reason=reason, fix="use a newer system or container (Ubuntu 24.04 has glibc 2.39)")


def _brought_by_the_host(declared: Declaration) -> Iterator[Obstacle]:
    """The interpreter and the programs, which the user installs."""
    for find in (lambda: find_interpreter(declared.python), lambda: find_programs(declared.programs)):
        try:
            find()
        except ToolchainUnavailable as error:
            yield Obstacle(reason=error.what, fix=error.fix)


def _driver(declared: Declaration) -> Iterator[Obstacle]:
    """Programs built with one CUDA release run with every driver of the same major release or a newer one.

    Source: NVIDIA, "CUDA Compatibility", minor version compatibility.
    """
    if declared.accelerator != "cuda":
        return
    built_with = declared.torch.cuda if declared.torch else None
    found = probe_gpus()
    if isinstance(found, NoGpus) or not found.gpus:
        why = found.reason if isinstance(found, NoGpus) else f"driver {found.driver} knows none"
        fix = "use a host with an NVIDIA GPU, and install its driver"
        if built_with:
            fix += f": one that runs CUDA {built_with} (nvidia-smi tells)"
        yield Obstacle(reason=f"toolchain {declared.name} needs an NVIDIA GPU, and {why}", fix=fix)
    elif built_with and _numbers(found.cuda)[0] < _numbers(built_with)[0]:
        runs = f"driver {found.driver} runs CUDA {found.cuda} at most"
        reason = f"toolchain {declared.name} is built with CUDA {built_with}, and {runs}"
        yield Obstacle(reason=reason, fix=f"install a driver that runs CUDA {built_with} or newer")


def _space(declared: Declaration, directory: Path, wheels: Chosen | Lacking) -> Iterator[Obstacle]:
    """Free space; what an unfinished installation holds already counts as free."""
    packed = wheels.size_bytes() if isinstance(wheels, Chosen) else 0
    there = sum(tree_bytes(root) for root in directory.glob(f"{declared.name}-{'[0-9a-f]' * 16}"))
    needed = int(declared.approximate_bytes * DISK_FACTOR) + UNPACKED_FACTOR * packed
    free = shutil.disk_usage(_existing(directory)).free
    if free + there < needed:
        room = f"needs {needed / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free"
        fix = "free some space, or name another directory in ENGINERY_TOOLCHAINS_DIR"
        yield Obstacle(reason=f"toolchain {declared.name} {room} in {directory}", fix=fix)


def _existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
