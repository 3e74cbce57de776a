"""Listings of directories, and their verification."""

import hashlib
import os
import socket
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.stores.trees import random_tree

from artifacts.errors import BadTree, IntegrityError, NotFound
from artifacts.store import Listing, compare, path_problem, verify
from artifacts.store.trees import FileEntry, scan

PART = (
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
    .map(lambda part: unicodedata.normalize("NFC", part))
    .filter(lambda part: part not in (".", "..") and "/" not in part and len(part.encode()) < 200)
)
PATH = st.lists(PART, min_size=1, max_size=4).map("/".join)
CONTENTS = st.dictionaries(PATH, st.binary(max_size=40), max_size=8)


def without_clashes(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Drop the files that would have to be directories too."""
    return {
        path: data for path, data in contents.items() if not any(o.startswith(f"{path}/") for o in contents)
    }


def write(root: Path, contents: dict[str, bytes]) -> Path:
    for path, data in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def entry(path: str, data: bytes = b"x") -> FileEntry:
    digest = hashlib.sha256(data).hexdigest()
    return FileEntry(path=path, size=len(data), sha256=digest, chunk_bytes=1 << 20, chunks=(digest,))


@given(CONTENTS.map(without_clashes), st.integers(1, 50))
def test_a_listing_says_what_is_there(contents: dict[str, bytes], chunk_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        listing = scan(write(Path(directory), contents), chunk_bytes=chunk_bytes)
        verify(Path(directory), listing)
    assert [file.path for file in listing.files] == sorted(contents)
    assert listing.total_bytes == sum(map(len, contents.values()))
    for file in listing.files:
        data = contents[file.path]
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        pieces = [data[start : start + chunk_bytes] for start in range(0, len(data), chunk_bytes)]
        assert file.chunks == tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)


@given(CONTENTS.map(without_clashes))
def test_a_listing_survives_json_and_keeps_its_digest(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        listing = scan(write(Path(directory), contents))
    again = Listing.model_validate_json(listing.model_dump_json())
    assert again == listing
    assert again.digest == listing.digest


def test_the_digest_depends_on_content_and_not_on_circumstances(tmp_path: Path) -> None:
    first = scan(random_tree(tmp_path / "first", {"b": 10, "a/c": 20}))
    second = scan(random_tree(tmp_path / "second", {"b": 10, "a/c": 20}))
    os.utime(tmp_path / "second" / "b", (1, 1))
    (tmp_path / "second" / "b").chmod(0o600)
    assert scan(tmp_path / "second").digest == first.digest == second.digest


@pytest.mark.parametrize("change", ["content", "name", "executable"])
def test_every_change_changes_the_digest(tmp_path: Path, change: str) -> None:
    root = random_tree(tmp_path, {"a": 10, "b": 10})
    before = scan(root).digest
    if change == "content":
        (root / "a").write_bytes(b"0123456789")
    elif change == "name":
        (root / "a").rename(root / "c")
    else:
        (root / "a").chmod(0o755)
    assert scan(root).digest != before


@pytest.mark.parametrize("kind", ["link to a file", "link to a directory", "broken link", "pipe", "socket"])
def test_links_and_special_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    target = random_tree(tmp_path / "outside", {"file": 1})
    odd = tmp_path / "tree" / "sub" / "odd"
    odd.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(odd))
    else:
        targets = {"link to a file": target / "file", "link to a directory": target}
        odd.symlink_to(targets.get(kind, tmp_path / "nothing"))
    with pytest.raises(BadTree, match="sub/odd"):
        scan(tmp_path / "tree")


@pytest.mark.parametrize("name", [b"\xff\xfe", "e\u0301".encode()])
def test_names_that_are_not_portable_are_refused(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    with pytest.raises(BadTree) as caught:
        scan(tmp_path)
    str(caught.value).encode()


@pytest.mark.parametrize("path", ["", "/a", "a//b", "a/", "./a", "a/..", "../a", "a\0", "e\u0301", "\udcff"])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    assert path_problem(path)
    with pytest.raises(ValidationError):
        entry(path)


@pytest.mark.parametrize("paths", [("b", "a"), ("a", "a"), ("a", "a/b")])
def test_listings_that_are_no_tree_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        Listing(files=tuple(entry(path) for path in paths))


def test_an_entry_whose_chunks_do_not_add_up_is_refused() -> None:
    whole = entry("a").model_dump()
    with pytest.raises(ValidationError, match="chunks"):
        FileEntry(**{**whole, "size": 2 << 20})
    with pytest.raises(ValidationError, match="only chunk"):
        FileEntry(**{**whole, "sha256": "0" * 64})


def test_a_missing_directory_is_reported() -> None:
    with pytest.raises(NotFound, match="not a directory"):
        scan(Path("/nowhere/at/all"))


@pytest.mark.parametrize("damage", ["flip", "truncate", "extra", "missing", "mode", "empty directory"])
def test_damage_is_found_and_named(tmp_path: Path, damage: str) -> None:
    root = random_tree(tmp_path, {"sub/big": 100, "other": 10})
    listing = scan(root, chunk_bytes=16)
    victim = root / "sub" / "big"
    if damage == "flip":
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(data)
    elif damage == "truncate":
        os.truncate(victim, 99)
    elif damage == "extra":
        (root / "sub" / "big.bak").touch()
    elif damage == "missing":
        victim.unlink()
    elif damage == "mode":
        victim.chmod(0o755)
    else:
        (root / "sub" / "big.d").mkdir()
    with pytest.raises(IntegrityError, match="sub/big"):
        verify(root, listing)
    assert (compare(root, listing) == "") == (damage == "flip")


def test_a_file_that_grows_meanwhile_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = random_tree(tmp_path, {"file": 100})
    from artifacts.store import trees

    found = trees.walk(root)
    (root / "file").write_bytes(b"x" * 101)
    monkeypatch.setattr(trees, "walk", lambda _root: found)
    with pytest.raises(IntegrityError, match="from 100 to 101 bytes"):
        scan(root)
