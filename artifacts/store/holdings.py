"""What the store holds of a tree: which of its blobs are missing, of the wrong size, or damaged.

Invariants:
- Presence and size cost as few requests as possible: one per 1,000 blobs of the store, or one per blob of the
  tree, whichever is less.
- Only reading the bytes shows whether they are right.
"""

import re
import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from artifacts.errors import IntegrityError
from artifacts.parallel import run_all
from artifacts.progress import OnBytes, ignore_bytes
from artifacts.store.bucket import Bucket
from artifacts.store.transfer import DOWNLOAD_THREADS, Etags, blob_key, read_chunk
from artifacts.store.trees import FileEntry

PAGE_KEYS = 1000
HEAD_THREADS = 16
HASH_SPACE = 1 << 256
DIGEST = re.compile(r"[0-9a-f]{64}")
Files = Mapping[str, FileEntry]
"""Files by the digest of their bytes: equal files share a blob."""


class Defect(NamedTuple):
    """A blob that is not as a tree needs it.

    Attributes:
        entry: a file of the tree with these bytes.
        problem: what is wrong, as the end of a sentence.
        is_there: whether the object exists, and has to be replaced.
    """

    entry: FileEntry
    problem: str
    is_there: bool = True

    @property
    def key(self) -> str:
        """Key of the blob in the store."""
        return blob_key(self.entry.sha256)

    def __str__(self) -> str:
        return f"{self.entry.path} {self.problem}"


def by_digest(entries: Iterable[FileEntry]) -> dict[str, FileEntry]:
    """Return one file per blob, sorted by digest."""
    return dict(sorted({entry.sha256: entry for entry in entries}.items()))


def defects(bucket: Bucket, files: Files, known_sizes: Mapping[str, int] | None = None) -> dict[str, Defect]:
    """Find blobs that are missing or have the wrong size, by digest, without reading their bytes.

    Args:
        bucket: the store's bucket.
        files: the blobs that the store should hold.
        known_sizes: sizes of all blobs of the store by key, if the caller has listed them.
    """
    if known_sizes is None:
        sizes = _sizes(bucket, files)
    else:
        known = {sha256: known_sizes.get(blob_key(sha256)) for sha256 in files}
        sizes = {sha256: size for sha256, size in known.items() if size is not None}
    found: dict[str, Defect] = {}
    for sha256, entry in files.items():
        size = sizes.get(sha256)
        if size is None:
            found[sha256] = Defect(entry, "is missing", is_there=False)
        elif size != entry.size:
            found[sha256] = Defect(entry, f"has {size} bytes instead of {entry.size}")
    return found


def damaged(bucket: Bucket, files: Files, on_bytes: OnBytes = ignore_bytes) -> dict[str, Defect]:
    """Find the same as `defects`, and damaged blobs: every byte of the others is read and hashed.

    Args:
        bucket: the store's bucket.
        files: the blobs that the store should hold.
        on_bytes: called with the size of each chunk that was read, or that need not be read, from several
            threads.
    """
    found = defects(bucket, files)
    for defect in found.values():
        on_bytes(defect.entry.size)
    chunks = [
        (entry, number)
        for sha256, entry in files.items()
        if sha256 not in found
        for number in range(len(entry.chunks))
    ]
    etags, lock = Etags(), threading.Lock()

    def read(chunk: tuple[FileEntry, int]) -> None:
        entry, number = chunk
        try:
            read_chunk(bucket, entry, number, lambda _piece, _at: None, etags)
        except IntegrityError as error:
            with lock:
                problem = error.what.removeprefix(f"{entry.path} ")
                found.setdefault(entry.sha256, Defect(entry, problem))
        on_bytes(entry.span(number)[1])

    run_all(read, chunks, DOWNLOAD_THREADS)
    return found


def _sizes(bucket: Bucket, files: Files) -> dict[str, int]:
    """Return the sizes of the blobs that exist, by digest."""
    sizes: dict[str, int] = {}
    prefix = blob_key("")
    rest = set(files)
    if len(rest) > 1:
        for count, (key, size) in enumerate(bucket.sizes(prefix), 1):
            sha256 = key.removeprefix(prefix)
            if sha256 in rest:
                sizes[sha256] = size
            if count % PAGE_KEYS == 0:
                rest = {wanted for wanted in rest if wanted > sha256}
                if len(rest) < _pages_left(count, sha256):
                    break
        else:
            return sizes
    asked = sorted(rest)
    heads = run_all(lambda sha256: bucket.size(blob_key(sha256)), asked, HEAD_THREADS)
    return sizes | {sha256: size for sha256, size in zip(asked, heads, strict=True) if size is not None}


def _pages_left(count: int, last: str) -> float:
    """Estimate how many pages follow a key, from the blobs before it: digests are spread evenly."""
    if not DIGEST.fullmatch(last):
        return 0  # an object that is not a blob; the next page allows an estimate
    share = (int(last, 16) + 1) / HASH_SPACE
    return count / PAGE_KEYS * (1 - share) / share
