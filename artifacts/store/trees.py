"""Trees: immutable directories, named by the digest of their listing.

Invariants:
- A listing is sorted by path; its digest covers names, sizes, executable bits and bytes, and nothing else: no
  times, owners or other modes.
- Paths are relative POSIX paths in Unicode normal form C that stay inside the tree; links and special files
  are refused. Directories exist only as parents of files: `scan` ignores an empty one, `verify` reports it.
- Chunk digests cover a file without gaps, so that ranges can be verified in parallel and in any order.
"""

import functools
import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from io import FileIO
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, model_validator

from artifacts.canonical import READ_BYTES, Digest, digest_of
from artifacts.errors import BadTree, IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.parallel import run_all
from artifacts.progress import OnBytes, ignore_bytes

CHUNK_BYTES = 32 << 20
HASH_THREADS = min(4, os.cpu_count() or 1)
REINSTALL = "remove the directory and pull again; if it happens twice, check the disk"


class FileEntry(Frozen):
    """One file of a tree."""

    path: str = Field(description="Relative POSIX path, Unicode normal form C.")
    size: int = Field(ge=0, description="Size in bytes.")
    sha256: Digest = Field(description="Digest of the whole file.")
    executable: bool = Field(default=False, description="Whether its owner may execute it.")
    chunk_bytes: int = Field(gt=0, description="Size of each chunk but the last, in bytes.")
    chunks: tuple[Digest, ...] = Field(description="Digest of each chunk, in order; none for an empty file.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if problem := path_problem(self.path):
            raise ValueError(f"path {self.path!r} {problem}")
        if len(self.chunks) != -(-self.size // self.chunk_bytes):
            raise ValueError(
                f"{self.path}: {len(self.chunks)} chunks of {self.chunk_bytes} do not make {self.size} bytes"
            )
        if len(self.chunks) == 1 and self.chunks[0] != self.sha256:
            raise ValueError(f"{self.path}: the digest of its only chunk is not that of the file")
        return self

    def is_made_of(self, body: bytes) -> bool:
        """Whether these are the file's bytes: size, digest of the whole, and digest of each chunk."""
        if len(body) != self.size or hashlib.sha256(body).hexdigest() != self.sha256:
            return False
        view, spans = memoryview(body), (self.span(index) for index in range(len(self.chunks)))
        actual = (hashlib.sha256(view[start : start + length]).hexdigest() for start, length in spans)
        return all(one == other for one, other in zip(actual, self.chunks, strict=True))

    def span(self, index: int) -> tuple[int, int]:
        """Return offset and length of a chunk, in bytes."""
        start = index * self.chunk_bytes
        return start, min(self.chunk_bytes, self.size - start)


class Listing(Frozen):
    """All files of a tree, sorted by path."""

    files: tuple[FileEntry, ...] = Field(description="The files, sorted by path.")

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        paths = [file.path for file in self.files]
        if any(first >= second for first, second in pairwise(paths)):
            raise ValueError("paths are not sorted, or not unique")
        parents = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
        if clash := parents.intersection(paths):
            raise ValueError(f"{min(clash)} is both a file and a directory")
        return self

    @functools.cached_property
    def digest(self) -> str:
        """The name of the tree: SHA-256 of the listing's canonical JSON."""
        return digest_of(self)

    @property
    def total_bytes(self) -> int:
        """The sum of the sizes of all files, in bytes."""
        return sum(file.size for file in self.files)


def path_problem(path: str) -> str:
    """Return why a path is not allowed in a tree, as the end of a sentence; empty if it is allowed."""
    if path.startswith("/") or "\0" in path:
        return "is absolute or holds a NUL"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "is empty or has a part that is empty, '.' or '..'"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return "" if unicodedata.is_normalized("NFC", path) else "is not in Unicode normal form C"


def walk(root: Path) -> dict[str, os.stat_result]:
    """Return the status of all files under `root`, by relative path, sorted.

    Raises NotFound if `root` is not a directory; BadTree for links, special files and non-portable names.
    """
    if not root.is_dir():
        raise NotFound(
            f"{root} is not a directory", where=str(root), fix="give the directory that holds the files"
        )
    return dict(sorted(_walk(str(root), "")))


def _walk(directory: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            path, status = prefix + entry.name, entry.stat(follow_symlinks=False)
            if problem := _kind_problem(status.st_mode) or path_problem(path):
                raise BadTree(
                    f"{path!r} {problem}; a tree holds plain files only",
                    where=os.fsencode(entry.path).decode(errors="backslashreplace"),
                    fix="replace it with the file that is meant, rename it, or remove it",
                )
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(entry.path, path + "/")
            else:
                yield path, status


def _kind_problem(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "is a symbolic link"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "is a special file (socket, pipe or device)"


def scan(root: Path, *, chunk_bytes: int = CHUNK_BYTES) -> Listing:
    """Return the listing of a directory; each file is read once, a few at a time.

    Raises NotFound, BadTree, or IntegrityError if a file changes while it is read.
    """
    found = walk(root)
    entries = run_all(lambda path: _entry(root, path, found[path], chunk_bytes), found, HASH_THREADS)
    return Listing(files=tuple(entries))


def _entry(root: Path, path: str, status: os.stat_result, chunk_bytes: int) -> FileEntry:
    whole, chunks, size = _digests(root / path, chunk_bytes)
    if size != status.st_size:
        raise IntegrityError(
            f"{path} changed from {status.st_size} to {size} bytes while it was read",
            where=str(root / path),
            fix="start again once nothing writes into the directory any more",
        )
    return FileEntry(
        path=path,
        size=size,
        sha256=whole,
        executable=bool(status.st_mode & stat.S_IXUSR),
        chunk_bytes=chunk_bytes,
        chunks=chunks,
    )


def _digests(path: Path, chunk_bytes: int) -> tuple[str, tuple[str, ...], int]:
    """Return the digest of a file, the digests of its chunks, and its size, in one pass."""
    whole = hashlib.sha256()
    chunks: list[str] = []
    size = 0
    with path.open("rb", buffering=0) as file:
        while True:
            # Up to here, the first chunk is the file: files of one chunk are hashed once, not twice.
            chunk = hashlib.sha256()
            length = _hash_into(file, chunk_bytes, (chunk, whole) if chunks else (chunk,))
            if not length:
                return whole.hexdigest(), tuple(chunks), size
            if not chunks:
                whole = chunk.copy()
            chunks.append(chunk.hexdigest())
            size += length


def _hash_into(file: FileIO, limit: int, digests: "tuple[hashlib._Hash, ...]") -> int:
    """Feed up to `limit` bytes from the file's position to the digests; return how many there were."""
    buffer = memoryview(bytearray(min(limit, READ_BYTES)))
    done = 0
    while done < limit and (count := file.readinto(buffer[: min(len(buffer), limit - done)])):
        for digest in digests:
            digest.update(buffer[:count])
        done += count
    return done


def range_digest(descriptor: int, start: int, length: int) -> str:
    """Return the SHA-256 of a range of an open file, or of a part of it if the file ends earlier."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(length, READ_BYTES)))
    end = start + length
    while start < end and (count := os.preadv(descriptor, [buffer[: min(len(buffer), end - start)]], start)):
        digest.update(buffer[:count])
        start += count
    return digest.hexdigest()


def compare(root: Path, listing: Listing) -> str:
    """Say how names, sizes and executable bits under `root` differ from the listing; empty if they do not.

    No file is read, so it costs next to nothing; `verify` reads them all.
    """
    wanted = {file.path: file for file in listing.files}
    try:
        found = walk(root)
    except BadTree as error:
        return error.what
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            return f"{path} is missing"
        if path not in wanted:
            return f"{path} does not belong to the tree"
        if found[path].st_size != wanted[path].size:
            return f"{path} has {found[path].st_size} bytes instead of {wanted[path].size}"
        if bool(found[path].st_mode & stat.S_IXUSR) != wanted[path].executable:
            return f"{path} is {'not ' if wanted[path].executable else ''}executable"
    empty = (Path(at).relative_to(root) for at, below, files in os.walk(root) if not below and not files)
    stray = next((path for path in empty if path != Path()), None)
    return f"{stray} is an empty directory, which no tree holds" if stray else ""


def verify(root: Path, listing: Listing, on_bytes: OnBytes = ignore_bytes) -> None:
    """Read every file under `root` and compare it with the listing.

    Args:
        root: directory that should be exactly the tree.
        listing: the tree.
        on_bytes: called with the size of each chunk that was verified, from several threads.

    Raises IntegrityError, which names the first file that is missing, damaged or not part of the tree.
    """
    if difference := compare(root, listing):
        raise IntegrityError(difference, where=str(root), fix=REINSTALL)
    run_all(lambda chunk: _verify_chunk(root, *chunk, on_bytes), all_chunks(listing), HASH_THREADS)


def all_chunks(listing: Listing) -> Iterator[tuple[FileEntry, int]]:
    """Yield every chunk of a tree, as its file and its index in the file."""
    return ((file, index) for file in listing.files for index in range(len(file.chunks)))


def _verify_chunk(root: Path, file: FileEntry, index: int, on_bytes: OnBytes) -> None:
    start, length = file.span(index)
    with (root / file.path).open("rb", buffering=0) as stream:
        actual = range_digest(stream.fileno(), start, length)
    if actual != file.chunks[index]:
        raise IntegrityError(
            f"{file.path} is damaged: bytes {start} to {start + length} have SHA-256 {actual[:16]}.. "
            f"instead of {file.chunks[index][:16]}..",
            where=str(root / file.path),
            fix=REINSTALL,
        )
    on_bytes(length)
