"""Downloads of blobs, chunk by chunk, into files that a killed process leaves behind for the next one.

Invariants:
- A partial file has its final size from the start, so that chunks can come in any order.
- The partial file is its own journal: a chunk counts as present if its bytes have its digest, whatever
  happened to the process or the machine. Resuming therefore costs a local read and never accepts a damaged
  chunk.
- A chunk is written within its own range only, whatever the answer is (`artifacts.store.bucket`).
- When `download` returns, every file has its size, and every chunk was read back from disk and has its
  digest: before the download if nothing was written to its file, and after it otherwise.
- Damage in the store is reported only if two reads return the same wrong bytes.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from artifacts.errors import RESTORE_FIX, IntegrityError, NotFound, StoreUnreachable
from artifacts.parallel import run_all
from artifacts.progress import OnProgress
from artifacts.store.bucket import AGAIN_FIX, Bucket, ByteRange
from artifacts.store.trees import HASH_THREADS, FileEntry, range_digest

DOWNLOAD_THREADS = 8
CHUNK_ATTEMPTS = 3


class Chunk(NamedTuple):
    """One chunk of a blob, and the file that it is written to."""

    entry: FileEntry
    number: int
    path: Path


class Etags:
    """ETags of the objects of one download, so that an object that is replaced meanwhile is noticed.

    An answer is accepted only if it has the ETag of the answer before it; after a change it is asked again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, str] = {}

    def refuse_change(self, key: str, etag: str) -> None:
        """Raise StoreUnreachable if the last answer about this object had another ETag."""
        with self._lock:
            before = self._last.get(key, etag)
            self._last[key] = etag
        if before != etag:
            what = f"the object changed while it was read: its ETag was {before} and is {etag}"
            raise StoreUnreachable(what, where=f"key {key}", fix=AGAIN_FIX)


class Progress:
    """Counts the bytes that are in place, and reports them; safe to call from several threads."""

    def __init__(self, total_bytes: int, on_progress: OnProgress | None = None) -> None:
        self._total, self._on_progress = total_bytes, on_progress
        self._lock = threading.Lock()
        self._done = 0

    def add(self, count: int) -> None:
        """Count `count` more bytes that are in place."""
        with self._lock:
            self._done += count
            if self._on_progress:
                self._on_progress(self._done, self._total)


class _Stopped(Exception):
    """Another chunk failed, and its error is the one that is reported; this chunk is given up."""


def blob_key(sha256: str) -> str:
    """Return the key of a blob in the store."""
    return f"blobs/sha256/{sha256}"


def download(bucket: Bucket, wanted: Iterable[tuple[FileEntry, Path]], progress: Progress) -> int:
    """Download files, each from its blob; what an earlier attempt left in place is kept.

    Args:
        bucket: the store's bucket.
        wanted: files and the paths to write them to, whose parents exist.
        progress: counts each chunk that is in place, downloaded or found.

    Returns the bytes downloaded. Raises IntegrityError if a blob is missing or damaged in the store, or if a
    file does not hold what was written to it; StoreUnreachable; and OSError if this host's disk fails.
    """
    chunks = [Chunk(entry, index, path) for entry, path in wanted for index in range(_prepare(entry, path))]
    missing: list[Chunk] = []

    def look(chunk: Chunk) -> None:
        if is_present(chunk):
            progress.add(chunk.entry.span(chunk.number)[1])
        else:
            missing.append(chunk)

    run_all(look, chunks, HASH_THREADS)
    stop, etags = threading.Event(), Etags()
    run_all(lambda chunk: _fetch(bucket, chunk, progress, etags, stop), missing, DOWNLOAD_THREADS, stop)
    written = {chunk.path for chunk in missing}
    run_all(_require_present, (chunk for chunk in chunks if chunk.path in written), HASH_THREADS)
    return sum(chunk.entry.span(chunk.number)[1] for chunk in missing)


def _prepare(entry: FileEntry, path: Path) -> int:
    """Give a file its final size; return its number of chunks."""
    with path.open("ab") as file:
        file.truncate(entry.size)
    return len(entry.chunks)


def is_present(chunk: Chunk) -> bool:
    """Whether the chunk's bytes were written to the file; holes count as not written, and are not read."""
    start, length = chunk.entry.span(chunk.number)
    with chunk.path.open("rb", buffering=0) as file:
        try:
            if os.lseek(file.fileno(), start, os.SEEK_DATA) >= start + length:
                return False
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole up to the end
                return False
            raise
    return is_right(chunk)


def is_right(chunk: Chunk) -> bool:
    """Whether the file holds the chunk's bytes, which may be the zeros of a hole."""
    with chunk.path.open("rb", buffering=0) as file:
        return (
            range_digest(file.fileno(), *chunk.entry.span(chunk.number)) == chunk.entry.chunks[chunk.number]
        )


def _require_present(chunk: Chunk) -> None:
    """Raise IntegrityError if a file does not hold a chunk that was verified when it was written."""
    if chunk.path.stat().st_size != chunk.entry.size or not is_present(chunk):
        start, length = chunk.entry.span(chunk.number)
        raise IntegrityError(
            f"{chunk.entry.path} is not what was written to it: bytes {start} to {start + length} differ",
            where=str(chunk.path),
            fix="start again: intact chunks are kept; if it happens twice, check the disk, and whether "
            "another program writes to the file",
        )


def _fetch(bucket: Bucket, chunk: Chunk, progress: Progress, etags: Etags, stop: threading.Event) -> None:
    """Download one chunk into its range of the file."""
    with chunk.path.open("r+b", buffering=0) as file:

        def write(piece: bytes, at: int) -> None:
            if stop.is_set():
                raise _Stopped
            _write_at(file.fileno(), piece, at)

        read_chunk(bucket, chunk.entry, chunk.number, write, etags)
    progress.add(chunk.entry.span(chunk.number)[1])


def read_chunk(
    bucket: Bucket, entry: FileEntry, number: int, write: Callable[[bytes, int], None], etags: Etags
) -> None:
    """Read one chunk of a blob and verify it; retry if the connection breaks or the bytes are wrong.

    Args:
        bucket: the store's bucket.
        entry: the file.
        number: index of the chunk in it.
        write: called with each piece and its offset in the file, within the chunk; again in each attempt.
        etags: the ETags of all reads that belong together.

    Raises IntegrityError if the blob is missing, has another size, or returned the same wrong bytes twice;
    StoreUnreachable, and what `write` raises.
    """
    wrong: set[str] = set()
    for attempt in range(1, CHUNK_ATTEMPTS + 1):
        try:
            digest = _read_once(bucket, entry, number, write, etags)
        except (StoreUnreachable, IntegrityError):
            if attempt == CHUNK_ATTEMPTS:
                raise
        except NotFound as error:
            what = f"the blob of {entry.path} is missing from the store"
            raise IntegrityError(what, where=error.where, fix=RESTORE_FIX) from error
        else:
            if digest == entry.chunks[number]:
                return
            if digest in wrong:
                raise _damaged(bucket, entry, number, digest)
            wrong.add(digest)
    what = f"each read of {entry.path} returned other bytes"
    raise StoreUnreachable(what, where=bucket.where(blob_key(entry.sha256)), fix=AGAIN_FIX)


def _read_once(
    bucket: Bucket, entry: FileEntry, number: int, write: Callable[[bytes, int], None], etags: Etags
) -> str:
    """Read one chunk once; return the digest of what was received."""
    key, (at, length) = blob_key(entry.sha256), entry.span(number)
    digest = hashlib.sha256()
    asked = ByteRange(at, length, entry.size)
    for piece in bucket.stream(key, asked, lambda etag: etags.refuse_change(key, etag)):
        digest.update(piece)
        write(piece, at)
        at += len(piece)
    return digest.hexdigest()


def _damaged(bucket: Bucket, entry: FileEntry, number: int, digest: str) -> IntegrityError:
    start, length = entry.span(number)
    return IntegrityError(
        f"{entry.path} is damaged in the store: bytes {start} to {start + length} have SHA-256 "
        f"{digest[:16]}.. instead of {entry.chunks[number][:16]}..",
        where=bucket.where(blob_key(entry.sha256)),
        fix=RESTORE_FIX,
    )


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data`; an almost full disk takes a part of it without an error, then fails."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
