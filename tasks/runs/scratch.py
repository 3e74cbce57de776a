"""Directories for one piece of work: for what it needs meanwhile, and for what its tools leave behind.

Invariants:
- A directory is removed when its context ends. One whose owner was killed is removed when the next one is
  made beside it: its name begins with its owner's process id.
- A directory for temporary files has a short path. Tools bind Unix sockets there, whose paths hold 107 bytes.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of the 107 bytes, a name of the tool's own takes up to 40 (vLLM's is a UUID, Open MPI's has levels).
LONGEST_FOR_SOCKETS = 64
# Of those, "/", a process id, "-" and eight random characters.
OWN_NAME = 17


@contextmanager
def own_directory(root: Path, label: str = "") -> Iterator[Path]:
    """A new directory below `root` for the time of the context; leftovers of killed owners are removed."""
    root.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-{label}", dir=root) as path:
        yield Path(path)


@contextmanager
def temporary_directory(root: Path) -> Iterator[Path]:
    """A new directory for temporary files, below `root` if that is short enough, else in the system's."""
    if len(os.fsencode(root)) + OWN_NAME > LONGEST_FOR_SOCKETS:
        root = Path(tempfile.gettempdir(), f"enginery-{os.getuid()}")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise PermissionError(f"{root} belongs to somebody else: remove it, or set TMPDIR")
    with own_directory(root) as path:
        yield path


def remove_leftovers(root: Path) -> None:
    """Remove the directories of processes that are no more."""
    for path in root.iterdir():
        pid = path.name.partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)
