"""Downloading blobs chunk by chunk into files that a killed process leaves behind for the next one.

Invariants:
- A partial file has its final size from the start, so that chunks can come in any order.
- The partial file is its own journal: a chunk counts as present when its bytes have its digest, whatever
  happened to the process or the machine. Resuming therefore costs a local read and can never adopt a
  damaged chunk.
- When `download` returns, every chunk of every file was verified.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from artifacts.errors import IntegrityError, StoreUnreachable
from artifacts.parallel import run_all
from artifacts.s3 import Bucket
from artifacts.trees import HASH_THREADS, FileEntry, range_digest

DOWNLOAD_THREADS = 8
CHUNK_ATTEMPTS = 3


class Chunk(NamedTuple):
    """One chunk of a blob, and the file that it belongs into."""

    entry: FileEntry
    number: int
    path: Path


class Progress:
    """Bytes that are in place, out of all; safe to call from several threads."""

    def __init__(self, total_bytes: int, report: Callable[[int, int], None] | None = None) -> None:
        self._total, self._report = total_bytes, report
        self._lock = threading.Lock()
        self._done = 0

    def add(self, count: int) -> None:
        """Note that `count` bytes more are in place."""
        with self._lock:
            self._done += count
            if self._report:
                self._report(self._done, self._total)


def blob_key(sha256: str) -> str:
    """Key of a blob in the store."""
    return f"blobs/sha256/{sha256}"


def download(bucket: Bucket, wanted: Iterable[tuple[FileEntry, Path]], progress: Progress) -> int:
    """Bring files to their content, each from its blob; what a former attempt left in place is kept.

    Args:
        bucket: the store's bucket.
        wanted: files with the paths to write them to; parents exist.
        progress: told of each chunk that is in place, downloaded or found.

    Returns the bytes downloaded. Raises IntegrityError where the store's bytes are damaged, NotFound where
    a blob is missing, StoreUnreachable, and OSError of this host's disk.
    """
    chunks = [Chunk(entry, index, path) for entry, path in wanted for index in range(_prepare(entry, path))]
    missing: list[Chunk] = []

    def look(chunk: Chunk) -> None:
        if is_present(chunk):
            progress.add(chunk.entry.span(chunk.number)[1])
        else:
            missing.append(chunk)

    run_all(look, chunks, HASH_THREADS)
    stop = threading.Event()
    run_all(lambda chunk: _fetch(bucket, chunk, progress, stop), missing, DOWNLOAD_THREADS, stop)
    return sum(chunk.entry.span(chunk.number)[1] for chunk in missing)


def _prepare(entry: FileEntry, path: Path) -> int:
    """Give a file its final size; returns its number of chunks."""
    with path.open("ab") as file:
        file.truncate(entry.size)
    return len(entry.chunks)


def is_present(chunk: Chunk) -> bool:
    """Whether the chunk's bytes are in the file; a hole is not read to know that they are not."""
    start, length = chunk.entry.span(chunk.number)
    with chunk.path.open("rb", buffering=0) as file:
        try:
            if os.lseek(file.fileno(), start, os.SEEK_DATA) >= start + length:
                return False
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return False
            raise
        return range_digest(file.fileno(), start, length) == chunk.entry.chunks[chunk.number]


def _fetch(bucket: Bucket, chunk: Chunk, progress: Progress, stop: threading.Event) -> None:
    """Download one chunk, a few times where the connection breaks or the bytes are damaged."""
    for attempt in range(1, CHUNK_ATTEMPTS + 1):
        try:
            _fetch_once(bucket, chunk, stop)
        except (StoreUnreachable, IntegrityError):
            if attempt == CHUNK_ATTEMPTS or stop.is_set():
                raise
        else:
            progress.add(chunk.entry.span(chunk.number)[1])
            return


def _fetch_once(bucket: Bucket, chunk: Chunk, stop: threading.Event) -> None:
    entry, (start, length) = chunk.entry, chunk.entry.span(chunk.number)
    digest = hashlib.sha256()
    at = start
    with chunk.path.open("r+b", buffering=0) as file:
        for piece in bucket.stream(blob_key(entry.sha256), start, length):
            if stop.is_set():
                raise StoreUnreachable("The download was stopped.", where=str(chunk.path))
            digest.update(piece)
            _write_at(file.fileno(), piece, at)
            at += len(piece)
    if digest.hexdigest() != entry.chunks[chunk.number]:
        raise IntegrityError(
            f"{entry.path} is damaged in the store: bytes {start} to {start + length} have SHA-256 "
            f"{digest.hexdigest()[:16]}.. instead of {entry.chunks[chunk.number][:16]}..",
            where=f"{bucket}, key {blob_key(entry.sha256)}",
            fix="Nothing was installed. Restore that object from a backup, or build and publish again.",
        )


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of data; a disk that is almost full takes a part without an error, and fails at the rest."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
