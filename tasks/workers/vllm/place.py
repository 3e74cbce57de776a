"""The one directory where an engine's caches are used, whatever host, user and directory it is served from.

Caches of compiled code hold absolute paths: of themselves, of the sources that they were compiled from, and
of the model; vLLM's keys hold more of them. So the engine names a place of its own below /var/tmp, and there
are the caches, and links to the engine and to the toolchain of this host.

Standard library only: engines ship it. Invariants:
- Code in the caches is run. So the place must be a real directory of this user, which nobody else may write
  to; anything else there (a link, a file, another user's directory) is left alone, and refused.
- Its content is a copy of the tree's caches, made anew by each start that finds no server of this user there.
- Servers of the same engine share it: each holds a shared lock on it for its lifetime, across `exec`. So
  nobody fills it meanwhile, and systemd-tmpfiles, which empties /var/tmp, leaves it alone.
- A refusal leaves nothing behind that a later start would use.
"""

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/var/tmp")  # noqa: S108  it survives a reboot, and every host has it; see the invariants
PREFIX = "enginery-vllm-"
# How long another start of the same engine may take to copy its caches.
TURN_LIMIT_S = 120.0
# How long processes of a server may live after it has ended.
LINGER_LIMIT_S = 30.0
PRIVATE = 0o700
# Of Inductor's and Triton's kernels for processors and NVIDIA GPUs.
COMPILED_SUFFIXES = (".so", ".cubin")


class PlaceRefused(Exception):
    """The place cannot be used; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class Place:
    """The paths of an engine's place."""

    path: Path

    @property
    def caches(self) -> Path:
        """Directory of all caches."""
        return self.path / "caches"

    @property
    def model(self) -> Path:
        """Link to the engine's tree."""
        return self.path / "model"

    @property
    def toolchain(self) -> Path:
        """Link to the directory of the toolchain."""
        return self.path / "toolchain"

    def imports(self, index: int) -> Path:
        """Link to a directory that the host adds to the toolchain's import path."""
        return self.path / f"imports-{index}"


def place_of(digest: str, root: Path = ROOT) -> Place:
    """Return the place of an engine; `digest` identifies what it was built from."""
    return Place(root / f"{PREFIX}{digest[:16]}")


def occupy(place: Place, content: str, fill: Callable[[Place], None]) -> int:
    """Take a place for the lifetime of this process and of what it becomes; returns the lock's descriptor.

    Args:
        place: the place.
        content: identifies what `fill` makes, so that servers share only what is the same.
        fill: makes the caches and links; called only if no other server is there.

    Raises:
        PlaceRefused: the place belongs to somebody else, is in use by another content, or cannot be filled.
    """
    try:
        _own(place.path)
        with _turn(place.path):
            return _occupy(place, content, fill)
    except (OSError, shutil.Error) as error:
        raise PlaceRefused(f"{place.path} cannot be used: {error}") from error


def vacate(place: Place, user: int) -> None:
    """Remove a place of a user once no server is there; whatever belongs to others is left alone.

    A user who is not root can only name themselves.
    """
    try:
        _require_own(place.path, user)
        lock = _open_directory(place.path)
    except (OSError, PlaceRefused):
        return
    try:
        if _waited(lock, LINGER_LIMIT_S):
            shutil.rmtree(place.path)
    finally:
        os.close(lock)


def link(at: Path, target: Path) -> None:
    """Make a link, or let an existing one point elsewhere, without a moment in which there is none."""
    aside = at.with_name(f"{at.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    os.replace(aside, at)  # noqa: PTH105  atomic by contract


def copy_files(source: Path, target: Path) -> None:
    """Copy a directory; the copy is writable, which a tree is not."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, copy)


def compiled_files(caches: Path) -> int:
    """Count the compiled files in a directory of caches."""
    return sum(1 for path in caches.rglob("*") if path.suffix in COMPILED_SUFFIXES)


def _own(path: Path) -> None:
    """Make the directory, or check that it is this user's own.

    Nobody else can replace it afterwards: its parent is sticky.
    """
    above = path.parent.stat()
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise PlaceRefused(f"everybody may rename what is in {path.parent}")
    if above.st_uid not in (0, os.geteuid()):
        raise PlaceRefused(f"user {above.st_uid} may rename what is in {path.parent}")
    with suppress(FileExistsError):
        path.mkdir(mode=PRIVATE)
    _require_own(path, os.geteuid())


def _require_own(path: Path, user: int) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise PlaceRefused(f"{path} is a link to {path.readlink()}, and anybody may have put it there")
    if not stat.S_ISDIR(found.st_mode):
        raise PlaceRefused(f"{path} is not a directory")
    if found.st_uid != user:
        raise PlaceRefused(f"{path} belongs to user {found.st_uid}, and this is user {user}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PlaceRefused(f"others may write to {path} (mode {stat.S_IMODE(found.st_mode):o})")


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other start prepares this place."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path / "start.lock", flags, 0o600)
    try:
        if not _waited(lock, TURN_LIMIT_S):
            raise PlaceRefused(f"another start has been preparing {path} for {TURN_LIMIT_S:g} s")
        yield
    finally:
        os.close(lock)


def _occupy(place: Place, content: str, fill: Callable[[Place], None]) -> int:
    lock, mark = _open_directory(place.path), place.path / "content"
    try:
        if _locked(lock, fcntl.LOCK_EX):
            mark.unlink(missing_ok=True)
            fill(place)
            mark.write_text(content, encoding="utf-8")
        else:
            _require_same(mark, content)
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.set_inheritable(lock, True)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _require_same(mark: Path, content: str) -> None:
    if not mark.is_file() or mark.read_text(encoding="utf-8") != content:
        raise PlaceRefused(f"a server of another build or toolchain uses {mark.parent}")


def _waited(lock: int, limit_s: float) -> bool:
    """Whether nobody else held the lock at some time within the limit; then this process holds it."""
    ends = time.monotonic() + limit_s
    while not _locked(lock, fcntl.LOCK_EX):
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


def _open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
