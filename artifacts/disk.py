"""This host's disk: atomic writes, cheap copies, and errors that say what to do."""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from artifacts.errors import ArtifactError, BadPath, LocalDiskError

# ioctl of Linux file systems that can share blocks between files (Btrfs, XFS): linux/fs.h,
# _IOW(0x94, 9, int).
FICLONE = 0x40049409

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
MISUSED = {
    errno.ENOTDIR: "a file exists where a directory is needed",
    errno.EEXIST: "a file exists where a directory is needed",
    errno.EISDIR: "a directory exists where a file is needed",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.ELOOP: "its symbolic links form a loop",
}


@contextlib.contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Turn an OSError raised by work in a directory into a LocalDiskError or a BadPath."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, str(directory)) from error


def disk_error(error: OSError, where: str) -> ArtifactError:
    """Describe an OSError of a file system; `where` is what it concerns unless the error names a file."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else where
    if error.errno in FULL:
        fix = "free some space and start again: what is complete is kept"
        return LocalDiskError("the disk is full", where=where, fix=fix)
    if error.errno in CLOSED:
        fix = "give this user permission, or choose another path"
        return LocalDiskError(f"access is denied: {error.strerror}", where=where, fix=fix)
    if error.errno in MISUSED:
        what = f"{MISUSED[error.errno]}: {error.strerror}"
        return BadPath(what, where=where, fix="choose another path, or move away what is there")
    fix = "look at what is there, or choose another path"
    return LocalDiskError(f"the disk failed: {error.strerror or error}", where=where, fix=fix)


def require_space(directory: Path, needed_bytes: int) -> None:
    """Raise LocalDiskError if a directory's file system has less free space than needed."""
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < needed_bytes:
        raise LocalDiskError(
            f"{needed_bytes / 1e9:.2f} GB are needed, but only {free_bytes / 1e9:.2f} GB are free",
            where=str(directory),
            fix="free some space or choose a directory on another disk",
        )


def clone(source: Path, dest: Path) -> bool:
    """Make dest an independent file that shares source's blocks; False, and no dest, if the disk cannot."""
    with source.open("rb") as origin, dest.open("xb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), FICLONE, origin.fileno())
        except OSError as error:
            dest.unlink()
            if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS):
                return False
            raise
    return True


def clone_or_copy(source: Path, dest: Path) -> None:
    """Make dest an independent file with the same bytes; blocks are shared if the file system can."""
    if not clone(source, dest):
        shutil.copyfile(source, dest)


def take_over(source: Path, dest: Path) -> None:
    """Give dest the bytes of a file that is about to be deleted and that nobody writes to any longer.

    Blocks are shared if the file system can. Otherwise dest becomes a second name of the file; but if the
    file already has one, by which others may write to it or rely on its mode, dest is a copy.
    """
    if clone(source, dest):
        return
    if source.stat().st_nlink == 1:
        link_or_copy(source, dest)
    else:
        clone_or_copy(source, dest)


def link_or_copy(source: Path, dest: Path) -> None:
    """Give a read-only file a second name, or copy it if the file system or its link limit forbids that."""
    try:
        dest.hardlink_to(source)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP):
            raise
        clone_or_copy(source, dest)
        dest.chmod(source.stat().st_mode)


def staging_path(path: Path) -> Path:
    """Return a fresh hidden name in the same directory, for what is renamed to `path` once complete."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new one, even after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = staging_path(path)
    try:
        temporary.write_bytes(content)
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def point_link(link: Path, target: Path) -> None:
    """Point a symbolic link to target, atomically, whether or not the link exists."""
    temporary = staging_path(link)
    temporary.symlink_to(target)
    temporary.replace(link)


def set_mode(path: Path, *, executable: bool, writable: bool = True) -> None:
    """Derive a new file's permissions from those that it was created with, so that the umask applies."""
    mode = path.stat().st_mode & 0o666
    if executable:
        mode |= (mode & 0o444) >> 2
    path.chmod(mode if writable else mode & 0o555)


def sync(path: Path) -> None:
    """Flush a file or directory to disk, so that it survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
