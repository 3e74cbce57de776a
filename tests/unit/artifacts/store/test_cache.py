"""The blob cache takes over what this host made, and hands out nothing that it has not read."""

import errno
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from support.stores.trees import random_tree

from artifacts import disk
from artifacts.errors import LocalDiskError
from artifacts.store.bucket import Bucket
from artifacts.store.cache import BlobCache
from artifacts.store.trees import Listing, scan

SIZES = {"model.pt2": 300_000, "server/serve.py": 50, "empty": 0, "run": 10}
CHUNK = 100_000


class NothingToAsk:
    """A bucket of which nothing may be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the store was asked: {name}")


NO_BUCKET = cast("Bucket", NothingToAsk())


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "cache")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return random_tree(tmp_path / "made", SIZES, executable=("run",))


@pytest.fixture
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether this test's disk shares blocks between files, which few of the tests' own disks can do."""
    shares = bool(request.param)

    def clone(source: Path, dest: Path) -> bool:
        if shares:
            shutil.copyfile(source, dest)
        return shares

    monkeypatch.setattr(disk, "clone", clone)
    return shares


def inode(path: Path) -> int:
    return path.stat().st_ino


def kept(cache: BlobCache, listing: Listing, into: Path) -> Listing:
    """What comes out of the cache without a store."""
    assert cache.fill(NO_BUCKET, listing) == 0
    cache.place(listing, into, writable=False)
    return scan(into, chunk_bytes=CHUNK)


@pytest.mark.parametrize("blocks", [False, True], indirect=True)
@pytest.mark.parametrize("consume", [False, True])
def test_what_was_made_here_comes_from_the_cache(
    cache: BlobCache, made: Path, tmp_path: Path, blocks: bool, consume: bool
) -> None:
    listing = scan(made, chunk_bytes=CHUNK)
    modes = {file.path: (made / file.path).stat().st_mode for file in listing.files}
    assert cache.adopt(made, listing, consume=consume) == ()
    linked = consume and not blocks
    for file in listing.files:
        source, place = made / file.path, cache.path_of(file)
        assert (inode(source) == inode(place)) == linked
        assert place.stat().st_mode & 0o222 == 0
        assert linked or source.stat().st_mode == modes[file.path], "a file that is not ours has another mode"
    if consume:
        shutil.rmtree(made)
    else:
        (made / "model.pt2").write_bytes(b"the owner goes on")
    assert kept(cache, listing, tmp_path / "out") == listing
    assert list((tmp_path / "cache" / "partial").iterdir()) == []


def test_a_file_that_has_another_name_is_copied(cache: BlobCache, made: Path, tmp_path: Path) -> None:
    """The Hub's client keeps what it fetched under a name of its own, and links are made of it."""
    (tmp_path / "hub").hardlink_to(made / "model.pt2")
    listing = scan(made, chunk_bytes=CHUNK)
    cache.adopt(made, listing, consume=True)
    (tmp_path / "hub").write_bytes(b"another version")
    assert (tmp_path / "hub").stat().st_mode & 0o200
    assert kept(cache, listing, tmp_path / "out") == listing


def harmed_before(made: Path, how: str) -> None:
    """Change a file after it was hashed."""
    path = made / "model.pt2"
    if how == "other bytes":
        with path.open("r+b") as file:
            file.seek(150_000)
            file.write(b"other")
    elif how == "shorter":
        os.truncate(path, 200_000)
    else:
        with path.open("ab") as file:
            file.write(b"more")


@pytest.mark.parametrize("how", ["other bytes", "shorter", "longer"])
@pytest.mark.parametrize("consume", [False, True])
def test_a_file_that_changed_after_it_was_hashed_is_not_kept(
    cache: BlobCache, made: Path, consume: bool, how: str
) -> None:
    listing = scan(made, chunk_bytes=CHUNK)
    harmed_before(made, how)
    assert cache.adopt(made, listing, consume=consume) == ("model.pt2",)
    there = {file.path for file in listing.files if cache.path_of(file).exists()}
    assert there == SIZES.keys() - {"model.pt2"}


def test_a_file_that_changes_while_it_is_taken_is_not_kept(
    cache: BlobCache, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = scan(made, chunk_bytes=CHUNK)
    take_over: Callable[[Path, Path], None] = disk.take_over

    def taken_and_changed(source: Path, dest: Path) -> None:
        take_over(source, dest)
        if source.name == "model.pt2":
            harmed_before(made, "other bytes")

    monkeypatch.setattr("artifacts.store.cache.take_over", taken_and_changed)
    assert cache.adopt(made, listing, consume=True) == ("model.pt2",)


def test_what_an_open_writer_does_to_a_linked_file_later_is_noticed(
    cache: BlobCache, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory was given up too early: the cache does not hand out what was written then."""
    monkeypatch.setattr(disk, "clone", lambda _source, _dest: False)
    listing = scan(made, chunk_bytes=CHUNK)
    with (made / "model.pt2").open("r+b") as late:
        assert cache.adopt(made, listing, consume=True) == ()
        late.seek(150_000)
        late.write(b"other")
    with pytest.raises(AssertionError, match="the store was asked"):
        cache.fill(NO_BUCKET, listing)
    victim = next(file for file in listing.files if file.path == "model.pt2")
    assert cache.read(victim) is None


def test_what_is_there_already_stays_and_what_is_damaged_is_replaced(cache: BlobCache, made: Path) -> None:
    listing = scan(made, chunk_bytes=CHUNK)
    cache.adopt(made, listing, consume=False)
    before = {file.path: inode(cache.path_of(file)) for file in listing.files}
    damaged = cache.path_of(listing.files[1])
    damaged.chmod(0o644)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert cache.adopt(made, listing, consume=False) == ()
    after = {file.path: inode(cache.path_of(file)) for file in listing.files}
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {listing.files[1].path}
    assert cache.read(listing.files[1]) == (made / listing.files[1].path).read_bytes()


def test_equal_files_and_those_that_differ_in_the_executable_bit(
    cache: BlobCache, made: Path, tmp_path: Path
) -> None:
    for name, mode in (("twin", 0o644), ("program", 0o755)):
        shutil.copyfile(made / "server" / "serve.py", made / name)
        (made / name).chmod(mode)
    listing = scan(made, chunk_bytes=CHUNK)
    assert cache.adopt(made, listing, consume=True) == ()
    assert kept(cache, listing, tmp_path / "out") == listing


def test_a_file_with_a_hole_is_kept(cache: BlobCache, made: Path, tmp_path: Path) -> None:
    os.truncate(made / "model.pt2", 900_000)
    listing = scan(made, chunk_bytes=CHUNK)
    assert cache.adopt(made, listing, consume=True) == ()
    assert kept(cache, listing, tmp_path / "out") == listing


def test_on_another_disk_it_is_copied(
    cache: BlobCache, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, "no")

    monkeypatch.setattr(disk, "clone", lambda _source, _dest: False)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    listing = scan(made, chunk_bytes=CHUNK)
    assert cache.adopt(made, listing, consume=True) == ()
    assert all(inode(made / file.path) != inode(cache.path_of(file)) for file in listing.files)


def test_a_full_disk_leaves_nothing_behind(
    cache: BlobCache, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, dest: Path) -> None:
        dest.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("artifacts.store.cache.clone_or_copy", full)
    with pytest.raises(LocalDiskError, match="full"):
        cache.adopt(made, scan(made), consume=False)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size] == []


def test_what_a_killed_process_left_is_in_nobodys_way(cache: BlobCache, made: Path, tmp_path: Path) -> None:
    listing = scan(made, chunk_bytes=CHUNK)
    left = tmp_path / "cache" / "partial" / f"{listing.digest}.made"
    left.mkdir(parents=True)
    (left / listing.files[0].sha256).write_bytes(b"half")
    assert cache.adopt(made, listing, consume=True) == ()
    assert not left.exists()


def test_several_at_once(cache: BlobCache, made: Path, tmp_path: Path) -> None:
    roots = [shutil.copytree(made, tmp_path / f"made-{number}") for number in range(6)]
    listing = scan(made, chunk_bytes=CHUNK)
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda root: cache.adopt(root, listing, consume=True), roots))
    assert outcomes == [()] * 6
    assert kept(cache, listing, tmp_path / "out") == listing


def test_a_small_file_is_read_without_writing_anything(cache: BlobCache, made: Path, tmp_path: Path) -> None:
    listing = scan(made)
    assert cache.read(listing.files[0]) is None
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").write_text("a file stands there")
    assert cache.read(listing.files[0]) is None


def test_a_blob_that_another_process_needs_never_vanishes(cache: BlobCache, made: Path) -> None:
    """A download that cannot replace what is damaged leaves the name where it is."""
    listing = scan(made, chunk_bytes=CHUNK)
    cache.adopt(made, listing, consume=False)
    victim = cache.path_of(listing.files[1])
    victim.chmod(0o644)
    victim.write_bytes(bytes(victim.stat().st_size))
    with pytest.raises(AssertionError, match="the store was asked"):
        cache.fill(NO_BUCKET, listing)
    assert victim.exists()
    assert cache.read(listing.files[1]) is None
