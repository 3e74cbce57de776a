"""The local blob cache: what one stage or pull downloaded or made need not be downloaded by the next.

Invariants:
- A blob is stored under its digest and never written to again; it appears whole, by rename or link.
- What this host made is in the cache, too (`adopt`), and is not downloaded. Its bytes are read again after it
  was taken over, and it is kept only if they still match the listing.
- Nothing leaves the cache unverified. `fill` reads every chunk of what it finds (a hard-linked file can be
  changed through its other name, and disks decay); a damaged blob is downloaded again and replaced. Two cores
  read and hash about 2 GB/s, far faster than any download, so there is no shortcut by time stamps.
- A file in the cache is only ever replaced, never removed: once `fill` has verified a blob, it stays
  available, whatever other processes do.
- Files that are handed out for writing are copies; hard links are handed out read-only. A file has a single
  mode, so an executable blob and the same bytes without the executable bit are separate files.
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
from artifacts.store.bucket import Bucket
from artifacts.store.transfer import Chunk, Progress, download, is_right
from artifacts.store.trees import HASH_THREADS, FileEntry, Listing


class BlobCache:
    """Blobs below one directory, shared by all processes of this user."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, file: FileEntry) -> Path:
        """Return where the blob of a file is, or would be."""
        return self._root / "sha256" / file.sha256[:2] / (file.sha256 + (".x" if file.executable else ""))

    def fill(self, bucket: Bucket, listing: Listing) -> int:
        """Bring every blob of a tree into the cache, whole and verified; return the bytes downloaded.

        Raises IntegrityError, NotFound or StoreUnreachable if the download fails, LocalDiskError if this
        host's disk does.
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
        """Make the tree at `dest`, atomically, from blobs that `fill` has just verified."""
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
        """Keep the files of a tree that was made on this host.

        Args:
            root: the directory that holds it.
            listing: the tree, as the directory was scanned.
            consume: the directory is about to be deleted, and nothing writes into it any more, so its files
                may be hard-linked into the cache, and become read-only. Otherwise they are copied.

        Returns the paths of files that changed after the scan; these are not kept. Raises LocalDiskError.
        """
        with disk_errors(self._root), self._alone(listing.digest):
            absent = _wrong({self.path_of(file): file for file in listing.files})
            sources = {self.path_of(file): file for file in listing.files if self.path_of(file) in absent}
            staging = self._root / "partial" / f"{listing.digest}.made"
            shutil.rmtree(staging, ignore_errors=True)  # left by a process that was killed
            staging.mkdir(parents=True)
            try:
                return self._adopt(root, sources, staging, take_over if consume else clone_or_copy)
            finally:
                shutil.rmtree(staging)

    def _adopt(
        self, root: Path, sources: Mapping[Path, FileEntry], staging: Path, take: Callable[[Path, Path], None]
    ) -> tuple[str, ...]:
        """Bring files to `staging`, verify them there, and rename those that match the listing.

        They are read again after they were taken: they may have changed since they were hashed.
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
        """Return the verified bytes of a small file; None if they are not cached, or not what they should be.

        Nothing is written: a host that only looks at a store does not even need a readable cache.
        """
        try:
            body = self.path_of(file).read_bytes()
        except OSError:
            return None
        return body if file.is_made_of(body) else None

    def read_listing(self, digest: str) -> bytes | None:
        """Return the verified bytes of a tree's listing; None if not cached, or not what they should be."""
        try:
            body = self._listing_path(digest).read_bytes()
        except OSError:
            return None
        return body if hashlib.sha256(body).hexdigest() == digest else None

    def keep_listing(self, digest: str, body: bytes) -> None:
        """Keep the bytes of a tree's listing; raise LocalDiskError if the disk fails."""
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
        """Keep other processes from downloading the same tree meanwhile; afterwards, they find it cached."""
        locks = self._root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / tree):
            yield


def _wrong(files: Mapping[Path, FileEntry]) -> set[Path]:
    """Return the paths that are missing or do not hold their file's bytes; every byte is read."""
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
