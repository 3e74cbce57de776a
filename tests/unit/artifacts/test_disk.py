"""Writes to the local disk."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from artifacts.disk import (
    clone_or_copy,
    disk_errors,
    link_or_copy,
    point_link,
    require_space,
    set_mode,
    write_atomically,
)
from artifacts.errors import LocalDiskError


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "denied"),
        (errno.EROFS, "denied"),
        (errno.EIO, "failed"),
    ],
)
def test_errors_of_the_disk_name_the_place_and_the_remedy(number: int, said: str) -> None:
    with pytest.raises(LocalDiskError, match=said) as caught, disk_errors(Path("/some/place")):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == "/some/place"


def test_too_little_space_is_reported_before_anything_is_written(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(LocalDiskError, match=r"needed, but only .* are free"):
        require_space(tmp_path, shutil.disk_usage(tmp_path).total + 1)


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"before")
    clone_or_copy(tmp_path / "source", tmp_path / "copy")
    (tmp_path / "copy").write_bytes(b"after")
    assert (tmp_path / "source").read_bytes() == b"before"


@pytest.mark.parametrize("reason", [None, errno.EXDEV, errno.EMLINK])
def test_where_a_link_is_impossible_a_copy_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int | None
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(reason, "no")

    (tmp_path / "source").write_bytes(b"bytes")
    (tmp_path / "source").chmod(0o444)
    if reason:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    link_or_copy(tmp_path / "source", tmp_path / "dest")
    assert (tmp_path / "dest").read_bytes() == b"bytes"
    assert (tmp_path / "dest").stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "dest").samefile(tmp_path / "source") == (reason is None)


@pytest.mark.parametrize(
    ("mask", "modes"), [(0o022, (0o644, 0o755, 0o444, 0o555)), (0o077, (0o600, 0o700, 0o400, 0o500))]
)
def test_modes_respect_the_umask(tmp_path: Path, mask: int, modes: tuple[int, ...]) -> None:
    before = os.umask(mask)
    try:
        found = []
        for writable in (True, False):
            for executable in (False, True):
                path = tmp_path / f"{writable}{executable}"
                path.touch()
                set_mode(path, executable=executable, writable=writable)
                found.append(path.stat().st_mode & 0o777)
    finally:
        os.umask(before)
    assert tuple(found) == modes


def test_an_atomic_write_leaves_the_old_content_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "record"
    write_atomically(path, b"old")
    monkeypatch.setattr("artifacts.disk.sync", lambda _path: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(OSError, match="no"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_is_repointed(tmp_path: Path) -> None:
    for target in ("first", "second"):
        point_link(tmp_path / "current", Path(target))
        assert (tmp_path / "current").readlink() == Path(target)
    assert len(list(tmp_path.iterdir())) == 1
