"""How much room this host has for a build: free disk, and memory."""

import shutil
from pathlib import Path

import psutil

from artifacts.settings import Settings

# Where a container's limit is written: cgroups of version 2, then of version 1.
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def free_disk_bytes(settings: Settings) -> int:
    """Return the free bytes of the file system that holds the work directories."""
    home = settings.home
    existing = next(path for path in (home, *home.parents) if path.exists())
    return shutil.disk_usage(existing).free


def host_memory_bytes(limits: tuple[Path, ...] = MEMORY_LIMITS) -> int:
    """Return this host's memory in bytes, or its container's limit if that is less."""
    written = (path.read_text().strip() for path in limits if path.is_file())
    return min((psutil.virtual_memory().total, *(int(text) for text in written if text.isdigit())))
