"""Scratch directories for one piece of work, and for what its tools leave behind.

Invariants:
- A directory is removed when its context ends. If its owner was killed, it is removed when the next one is
  made next to it: its name begins with its owner's process id.
- A directory for temporary files has a short path: tools bind Unix sockets in it, whose paths are limited to
  107 bytes.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of the 107 bytes, the tool's own names take up to 40 (vLLM uses a UUID, Open MPI several levels).
LONGEST_FOR_SOCKETS = 64
# Part of these: "/", a process id, "-" and eight random characters.
OWN_NAME = 17


@contextmanager
def own_directory(root: Path, label: str = "") -> Iterator[Path]:
    """Make a directory below `root` for the time of the context; remove those of killed owners."""
    root.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-{label}", dir=root) as path:
        yield Path(path)


@contextmanager
def temporary_directory(root: Path) -> Iterator[Path]:
    """Make a directory for temporary files, below `root` or, if that is too long, in the system's own."""
    if len(os.fsencode(root)) + OWN_NAME > LONGEST_FOR_SOCKETS:
        root = Path(tempfile.gettempdir(), f"enginery-{os.getuid()}")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise PermissionError(f"{root} belongs to another user: remove it, or set TMPDIR")
    with own_directory(root) as path:
        yield path


def remove_leftovers(root: Path) -> None:
    """Remove the directories of processes that have ended."""
    for path in root.iterdir():
        pid = path.name.partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def new_directories(parent: Path, *names: str) -> tuple[Path, ...]:
    """Make directories that must not be there yet, and return them in this order."""
    made = tuple(parent / name for name in names)
    for directory in made:
        directory.mkdir()
    return made
