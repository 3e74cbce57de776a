"""The local blob cache: what one stage or pull downloaded or made, the next one has at once.

Invariants:
- A blob stands under its digest and is never written to again; blobs arrive by rename or link, whole.
- What this host made is here, too (`adopt`): it is not downloaded. It is read once it has been taken over,
  and counts only if it is still what the listing says.
- Nothing leaves the cache unverified. `fill` reads every chunk of what it finds (a hard-linked file can be
  changed through its other name, and disks rot); what is damaged is downloaded again and replaced. Two cores
  read and hash about 2 GB/s, far more than any download gives, so there is no short cut by time stamps.
- A name that stands here is only ever replaced: whoever has seen to a blob finds it, whatever others do.
- Files that are handed out for writing are copies; hard links are handed out read-only. A file has one
  mode, so an executable blob and the same bytes without that bit are kept apart.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock

from artifacts.disk import (
    clone_or_copy,
    disk_errors,
    link_or_copy,
    require_space,
    set_mode,
    staging_path,
    take_over,
)
from artifacts.parallel import run_all
from artifacts.store.s3 import Bucket
from artifacts.store.transfer import Chunk, Progress, download, is_right
from artifacts.store.trees import HASH_THREADS, FileEntry, Listing


class BlobCache:
    """Blobs below one directory, shared by all processes of this user."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, file: FileEntry) -> Path:
        """Where a file's blob stands, or would."""
        return self._root / "sha256" / file.sha256[:2] / (file.sha256 + (".x" if file.executable else ""))

    def fill(self, bucket: Bucket, listing: Listing) -> int:
        """See to it that every blob of a tree is there and whole; returns the bytes downloaded.

        Raises IntegrityError, NotFound and StoreUnreachable of the download, LocalDiskError of this host.
        """
        with disk_errors(self._root), self._alone(listing.digest):
            files = {self.path_of(file): file for file in listing.files}
            missing = {path: files[path] for path in _wrong(files)}
            partial = self._root / "partial" / listing.digest
            partial.mkdir(parents=True, exist_ok=True)
            require_space(partial, sum(file.size for file in missing.values()))
            wanted = [(file, partial / path.name) for path, file in missing.items()]
            count = download(bucket, wanted, Progress(listing.total_bytes))
            for file, path in wanted:
                self._insert(path, file)
            shutil.rmtree(partial)
            return count

    def place(self, listing: Listing, dest: Path, *, writable: bool) -> None:
        """Make dest the tree, from blobs that `fill` has just seen to; atomic."""
        staging = staging_path(dest)
        with disk_errors(dest):
            staging.mkdir(parents=True)
            try:
                for file in listing.files:
                    self._place_file(file, staging / file.path, writable=writable)
                staging.rename(dest)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise

    def adopt(self, root: Path, listing: Listing, *, consume: bool) -> tuple[str, ...]:
        """Keep the files of a directory that is the tree, which was made on this host.

        Args:
            root: the directory.
            listing: the tree, as the directory was scanned.
            consume: the directory is about to be deleted, and nobody writes into it any more: its files may
                get a second name here, and become read-only. Otherwise they are copied.

        Returns the paths of files that changed since the scan; those are not kept. Raises LocalDiskError.
        """
        with disk_errors(self._root), self._alone(listing.digest):
            absent = _wrong({self.path_of(file): file for file in listing.files})
            sources = {self.path_of(file): file for file in listing.files if self.path_of(file) in absent}
            staging = self._root / "partial" / f"{listing.digest}.made"
            shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
            staging.mkdir(parents=True)
            try:
                return self._adopt(root, sources, staging, take_over if consume else clone_or_copy)
            finally:
                shutil.rmtree(staging)

    def _adopt(
        self, root: Path, sources: Mapping[Path, FileEntry], staging: Path, take: Callable[[Path, Path], None]
    ) -> tuple[str, ...]:
        """Bring files to `staging`, verify them there, and rename those that are as the listing says.

        They are read again after they were taken: when they were hashed, they may have held other bytes.
        """
        staged = {staging / path.name: file for path, file in sources.items()}

        def bring(path: Path) -> None:
            take(root / staged[path].path, path)
            set_mode(path, executable=staged[path].executable, writable=False)

        run_all(bring, staged, HASH_THREADS)
        wrong = _wrong(staged)
        for path, file in staged.items():
            if path not in wrong:
                self.path_of(file).parent.mkdir(parents=True, exist_ok=True)
                path.replace(self.path_of(file))
        return tuple(sorted(staged[path].path for path in wrong))

    def read(self, file: FileEntry) -> bytes | None:
        """The bytes of a small file, verified; None if they are not here, or not what they should be.

        Nothing is written: a host that only looks at a store needs no cache that it can write to, or read.
        """
        try:
            body = self.path_of(file).read_bytes()
        except OSError:
            return None
        return body if file.is_made_of(body) else None

    def read_listing(self, digest: str) -> bytes | None:
        """The bytes of a tree's listing, verified; None if they are not here, or not what they should be."""
        try:
            body = self._listing_path(digest).read_bytes()
        except OSError:
            return None
        return body if hashlib.sha256(body).hexdigest() == digest else None

    def keep_listing(self, digest: str, body: bytes) -> None:
        """Keep the bytes of a tree's listing; raises LocalDiskError."""
        path = self._listing_path(digest)
        with disk_errors(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            staging = staging_path(path)
            staging.write_bytes(body)
            staging.replace(path)

    def _listing_path(self, digest: str) -> Path:
        return self._root / "listings" / digest[:2] / digest

    def _insert(self, source: Path, file: FileEntry) -> None:
        path = self.path_of(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = staging_path(path)
        link_or_copy(source, staging)
        set_mode(staging, executable=file.executable, writable=False)
        staging.replace(path)
        staging.unlink(missing_ok=True)  # a rename between two names of one file does nothing

    def _place_file(self, file: FileEntry, dest: Path, *, writable: bool) -> None:
        dest.parent.mkdir(parents=True, exist_ok=True)
        if writable:
            clone_or_copy(self.path_of(file), dest)
            set_mode(dest, executable=file.executable)
        else:
            link_or_copy(self.path_of(file), dest)

    @contextlib.contextmanager
    def _alone(self, tree: str) -> Iterator[None]:
        """Keep other processes from downloading the same tree meanwhile; they find it done afterwards."""
        locks = self._root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / tree):
            yield


def _wrong(files: Mapping[Path, FileEntry]) -> set[Path]:
    """The paths that hold anything but their file's bytes, or nothing; every byte is read."""
    wrong = {path for path, file in files.items() if not path.is_file() or path.stat().st_size != file.size}

    def check(chunk: Chunk) -> None:
        if chunk.path not in wrong and not is_right(chunk):
            wrong.add(chunk.path)

    chunks = [
        Chunk(file, number, path)
        for path, file in files.items()
        if path not in wrong
        for number in range(len(file.chunks))
    ]
    run_all(check, chunks, HASH_THREADS)
    return wrong
