"""The disk that holds the stack's directory: its free space, and the error if it is full."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.errors import FlowError

# Below this share, SeaweedFS accepts nothing more (its option -volume.minFreeSpacePercent).
_LEAST_FREE = 0.01
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
_FIX = "free some space there, or point ENGINERY_HOME to another disk"


class DiskFull(FlowError):
    """The disk of the local stack has no space left."""


def require_room(directory: Path) -> None:
    """Check that the S3 server will be able to store something.

    Raises:
        DiskFull: it will not.
    """
    usage = shutil.disk_usage(directory)
    if usage.free < _LEAST_FREE * usage.total:
        raise DiskFull(
            f"the disk of the local stack is full: {usage.free / 1e6:.1f} MB of {usage.total / 1e9:.1f} GB"
            f" are free, and the S3 server stores nothing if less than {_LEAST_FREE:.0%} is free",
            where=str(directory),
            fix=_FIX,
        )


@contextmanager
def disk_full_errors(directory: Path) -> Iterator[None]:
    """Turn the system's error for a full disk into one that says what to do.

    Raises:
        DiskFull: a write failed because the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"the disk of the local stack is full: {error.strerror}",
            where=str(error.filename or directory),
            fix=_FIX,
        ) from error
