"""A bucket in a directory: shows that the store needs no more than `artifacts.store.bucket.Bucket` offers."""

import fcntl
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.errors import RESTORE_FIX, Conflict, IntegrityError, NotFound
from artifacts.progress import OnBytes
from artifacts.store.bucket import Bucket, ByteRange, Stored, StoredEntry
from artifacts.store.trees import FileEntry

PIECE_BYTES = 1 << 20
_numbers = itertools.count()


class DirectoryBucket(Bucket):
    """Objects are files below `objects`; one lock serves all who write."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._objects = root / "objects"

    def __str__(self) -> str:
        return f"directory {self._root}"

    def ensure(self) -> None:
        self._objects.mkdir(parents=True, exist_ok=True)

    def path_of(self, key: str) -> Path:
        return self._objects / key

    def where(self, key: str) -> str:
        return f"{self}, key {key}"

    def size(self, key: str) -> int | None:
        path = self.path_of(key)
        return path.stat().st_size if path.is_file() else None

    def kept_sha256(self, key: str) -> str | None:
        return None

    def get(self, key: str) -> Stored:
        with self._reading(key) as descriptor:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                body = file.read()
            return Stored(body, _etag(os.fstat(descriptor)))

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        with self._writing() as staged:
            staged.write_bytes(body)
            found = _etag(self.path_of(key).stat()) if self.path_of(key).exists() else None
            if (if_absent and found) or (if_match and found != if_match):
                raise Conflict("another writer was first", where=self.where(key))
            self._place(staged, key)

    def put_file(
        self, key: str, path: Path, entry: FileEntry, on_bytes: OnBytes, *, replace: bool = False
    ) -> None:
        with self._writing() as staged:
            digest = hashlib.sha256()
            with path.open("rb") as source, staged.open("xb") as copy:
                for number in range(len(entry.chunks)):
                    chunk = source.read(entry.span(number)[1])
                    digest.update(chunk)
                    copy.write(chunk)
                    on_bytes(len(chunk))
            if digest.hexdigest() != entry.sha256:
                what = "The store received other bytes than announced."
                raise IntegrityError(what, where=self.where(key))
            if replace or not self.path_of(key).exists():
                self._place(staged, key)

    def stream(
        self, key: str, asked: ByteRange, refuse_etag: Callable[[str], None] = lambda _etag: None
    ) -> Iterator[bytes]:
        with self._reading(key) as descriptor:
            status = os.fstat(descriptor)
            if status.st_size != asked.total:
                what = f"the store's object has {status.st_size} bytes instead of {asked.total}"
                raise IntegrityError(what, where=self.where(key), fix=RESTORE_FIX)
            refuse_etag(_etag(status))
            for start in range(asked.start, asked.start + asked.length, PIECE_BYTES):
                yield os.pread(descriptor, min(PIECE_BYTES, asked.start + asked.length - start), start)

    def entries(self, prefix: str) -> Iterator[StoredEntry]:
        files = {path.relative_to(self._objects).as_posix(): path for path in self._objects.rglob("*")}
        for key, path in sorted(files.items()):
            if path.is_file() and key.startswith(prefix):
                digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
                yield StoredEntry(key, path.stat().st_size, digest)

    def children(self, prefix: str) -> Iterator[str]:
        directory = self._objects / prefix
        if directory.is_dir():
            yield from sorted(path.name for path in directory.iterdir() if path.is_dir())

    def signed_url(self, key: str, *, content_type: str, valid_s: int) -> str | None:
        return None

    @contextmanager
    def _reading(self, key: str) -> Iterator[int]:
        try:
            descriptor = os.open(self.path_of(key), os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound("there is no such object", where=self.where(key)) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        """A name for a new file, while nobody else writes."""
        with (self._root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            staged = self._root / f"staged-{os.getpid()}-{next(_numbers)}"
            try:
                yield staged
            finally:
                staged.unlink(missing_ok=True)

    def _place(self, staged: Path, key: str) -> None:
        path = self.path_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(path)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
