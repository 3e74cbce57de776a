"""What the store holds of a tree: which blobs are missing, of a wrong size, or rotten.

Invariants:
- Presence and size cost the fewer requests of the two: one for every 1,000 blobs of the store, or one for
  each blob of the tree.
- Whether bytes are right is known by reading them, and only then.
"""

import re
import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from artifacts.errors import IntegrityError
from artifacts.parallel import run_all
from artifacts.progress import OnBytes, ignore_bytes
from artifacts.store.s3 import Bucket
from artifacts.store.transfer import DOWNLOAD_THREADS, Etags, blob_key, read_chunk
from artifacts.store.trees import FileEntry

PAGE_KEYS = 1000
HEAD_THREADS = 16
HASH_SPACE = 1 << 256
DIGEST = re.compile(r"[0-9a-f]{64}")
Files = Mapping[str, FileEntry]
"""Files by the digest of their bytes: equal ones share a blob."""


class Defect(NamedTuple):
    """A blob that is not as a tree needs it.

    Attributes:
        entry: a file of the tree with these bytes.
        problem: what is wrong, as the end of a sentence.
        is_there: whether there is an object, which has to be replaced.
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
    """One file for each blob, sorted by digest."""
    return dict(sorted({entry.sha256: entry for entry in entries}.items()))


def defects(bucket: Bucket, files: Files, known_sizes: Mapping[str, int] | None = None) -> dict[str, Defect]:
    """Blobs that are missing or have a wrong size, by digest; no byte of them is read.

    Args:
        bucket: the store's bucket.
        files: what should be there.
        known_sizes: the sizes of all blobs of the store by key, if the caller has listed them.
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
    """As `defects`, and every byte of the others is read and hashed.

    Args:
        bucket: the store's bucket.
        files: what should be there.
        on_bytes: called with the size of each chunk that was read or is not worth reading, from several
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
    """Sizes of the blobs that are there, by digest."""
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
    """Pages that follow, from how many blobs came up to this key: digests are spread evenly."""
    if not DIGEST.fullmatch(last):
        return 0  # something else stands among the blobs; the next page tells
    share = (int(last, 16) + 1) / HASH_SPACE
    return count / PAGE_KEYS * (1 - share) / share
