"""Whether this host can hold a toolchain: all obstacles, found without installing anything."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from artifacts.settings import Settings
from tasks.errors import ToolchainUnavailable
from tasks.toolchains.declarations import Declaration
from tasks.toolchains.host_checks import (
    Obstacle,
    driver_obstacles,
    machine_obstacles,
    path_obstacles,
    program_obstacles,
    version_numbers,
)
from tasks.toolchains.providers.lock.content import tree_bytes
from tasks.toolchains.providers.lock.interpreter import find_interpreter
from tasks.toolchains.providers.lock.wheelhouse import Chosen, Lacking, choose_wheels

# Room for what uv downloads before it unpacks.
DISK_FACTOR = 1.5
# A wheel of libraries takes about twice its size once unpacked.
UNPACKED_FACTOR = 2


def obstacles(declared: Declaration, settings: Settings) -> tuple[Obstacle, ...]:
    """All obstacles, hardest to fix first."""
    wheels = choose_wheels(declared, settings.wheelhouse)
    return (
        *machine_obstacles(declared),
        *driver_obstacles(declared),
        *_c_library(declared),
        *_interpreter(declared),
        *program_obstacles(declared),
        *path_obstacles(declared, settings),
        *(wheels.obstacles if isinstance(wheels, Lacking) else ()),
        *_space(declared, settings.toolchains_dir, wheels),
    )


def unusable(declared: Declaration, settings: Settings) -> tuple[Obstacle, ...]:
    """What keeps a toolchain from being used even if it is installed."""
    return (
        *machine_obstacles(declared),
        *_interpreter(declared),
        *program_obstacles(declared),
        *path_obstacles(declared, settings),
    )


def _c_library(declared: Declaration) -> Iterator[Obstacle]:
    name, version = platform.libc_ver()
    if name != "glibc" or version_numbers(version) < version_numbers(declared.glibc):
        found = f"{name or 'another C library'} {version}".strip()
        reason = f"its packages need glibc {declared.glibc} or newer, and this host has {found}"
        yield Obstacle(reason=reason, fix="use a newer system or container (Ubuntu 24.04 has glibc 2.39)")


def _interpreter(declared: Declaration) -> Iterator[Obstacle]:
    try:
        find_interpreter(declared.python)
    except ToolchainUnavailable as error:
        yield Obstacle(reason=error.what, fix=error.fix)


def _space(declared: Declaration, directory: Path, wheels: Chosen | Lacking) -> Iterator[Obstacle]:
    """An obstacle if there is too little space; what an unfinished installation holds counts as free."""
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
