"""The interface of a place that keeps objects: all that the store knows about where its bytes are.

Invariants of every implementation:
- A key names one object, which appears whole or not at all, and is replaced as a whole.
- If several writers ask for the same condition, exactly one of them succeeds; the others get Conflict.
- A request succeeds or raises an error of `artifacts.errors` that names the place: NotFound, Conflict,
  IntegrityError or StoreUnreachable. Only after StoreUnreachable can the same request succeed later.
- Bytes that do not match the digest that was announced for them are never kept.
- It may be used from several threads, and by several processes and hosts at the same time.

Nothing is promised about the bytes that are read: the store verifies them (`artifacts.store.reader`,
`artifacts.store.transfer`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from artifacts.progress import OnBytes
from artifacts.store.trees import FileEntry

UPLOAD_THREADS = 4
AGAIN_FIX = (
    "start again; if it happens again, look for something between this host and the server that alters "
    "answers, such as a cache or a proxy"
)


class Stored(NamedTuple):
    """A small object as it was read: its bytes, and the ETag with which to replace exactly these."""

    body: bytes
    etag: str


class ByteRange(NamedTuple):
    """A range of an object, and the size that the whole object should have; in bytes."""

    start: int
    length: int
    total: int


class StoredEntry(NamedTuple):
    """An object, as a listing of the bucket shows it.

    Attributes:
        key: its key, without the bucket's own prefix.
        size_bytes: its size.
        md5: MD5 of its bytes, in hex, if the server's entity tag is that; otherwise anything else.
    """

    key: str
    size_bytes: int
    md5: str


class Bucket(ABC):
    """Objects by key. A key consists of names joined by slashes; `str()` names the place in messages."""

    @abstractmethod
    def ensure(self) -> None:
        """Create the place if it does not exist."""

    @abstractmethod
    def where(self, key: str) -> str:
        """Describe an object in words, for messages."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if there is no such object."""

    @abstractmethod
    def kept_sha256(self, key: str) -> str | None:
        """Return the SHA-256 of an object, in hexadecimal, as it was checked when the object was written.

        None if there is no such object, or if no digest is kept: then the caller reads the object.
        """

    @abstractmethod
    def get(self, key: str) -> Stored:
        """Return a small object, whole; raises NotFound, or IntegrityError if it is known to be damaged."""

    @abstractmethod
    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        """Write a small object.

        Args:
            key: key of the object.
            body: its bytes.
            if_absent: write only if there is no such object yet.
            if_match: write only if the object still has this ETag.

        Raises Conflict if the condition does not hold.
        """

    @abstractmethod
    def put_file(
        self, key: str, path: Path, entry: FileEntry, on_bytes: OnBytes, *, replace: bool = False
    ) -> None:
        """Upload a file that has the digests of `entry`, chunk by chunk.

        Args:
            key: key of the object.
            path: the file.
            entry: its size and digests.
            on_bytes: called with the size of each chunk that was sent, maybe from several threads.
            replace: overwrite the object, which is damaged; otherwise an object that exists stays.

        Raises IntegrityError if the file no longer has these digests; then nothing was written.
        """

    @abstractmethod
    def stream(
        self, key: str, asked: ByteRange, refuse_etag: Callable[[str], None] = lambda _etag: None
    ) -> Iterator[bytes]:
        """Yield the bytes of exactly that range, in pieces of at most 1 MiB.

        Args:
            key: key of the object.
            asked: the range, and the size of the whole object.
            refuse_etag: called with the object's ETag before its first byte; raises if it refuses the ETag.

        Raises NotFound, IntegrityError if the object has another size, or StoreUnreachable if the answer is
        not the range that was asked for.
        """

    @abstractmethod
    def entries(self, prefix: str) -> Iterator[StoredEntry]:
        """Yield the objects whose keys begin with `prefix`, sorted by key; more are asked for as needed."""

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield sorted keys that begin with `prefix`, and sizes in bytes; more are asked for as needed."""
        return ((entry.key, entry.size_bytes) for entry in self.entries(prefix))

    @abstractmethod
    def children(self, prefix: str) -> Iterator[str]:
        """Yield the directories below a prefix: what follows it up to the next slash, once each, sorted."""

    @abstractmethod
    def signed_url(self, key: str, *, content_type: str, valid_s: int) -> str | None:
        """Return an address at which a browser without credentials can read one object for a while.

        None if this place has no such addresses.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted."""
        return (key for key, _size in self.sizes(prefix))
