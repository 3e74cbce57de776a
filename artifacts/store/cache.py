"""The local blob cache: what one stage or pull downloaded or made, the next one has at once.

Invariants:
- A blob stands under its digest and is never written to again; blobs arrive by rename or link, whole.
- Nothing leaves the cache unverified. `fill` reads every chunk of what it finds (a hard-linked file can be
  changed through its other name, and disks rot); what is damaged is dropped and downloaded again. Two cores
  read and hash about 2 GB/s, far more than any download gives, so there is no short cut by time stamps.
- Files that are handed out for writing are copies; hard links are handed out read-only. A file has one
  mode, so an executable blob and the same bytes without that bit are kept apart.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock

from artifacts.disk import beside, clone_or_copy, disk_errors, link_or_copy, require_space, set_mode
from artifacts.parallel import run_all
from artifacts.store.s3 import Bucket
from artifacts.store.transfer import Chunk, Progress, download, is_present
from artifacts.store.trees import HASH_THREADS, FileEntry, Listing, all_chunks


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
            damaged = self._damaged(listing)
            missing = {self.path_of(file): file for file in listing.files if self.path_of(file) in damaged}
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
        staging = beside(dest)
        with disk_errors(dest):
            staging.mkdir(parents=True)
            try:
                for file in listing.files:
                    self._place_file(file, staging / file.path, writable=writable)
                staging.rename(dest)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise

    def adopt(self, root: Path, listing: Listing) -> None:
        """Take over the files of a directory that nobody writes to any more; they become read-only."""
        with disk_errors(self._root):
            for file in listing.files:
                set_mode(root / file.path, executable=file.executable, writable=False)
                self._insert(root / file.path, file)

    def _damaged(self, listing: Listing) -> set[Path]:
        """Paths of blobs that are missing or not what they should be; what is wrong there is removed."""
        damaged: set[Path] = set()

        def check(chunk: Chunk) -> None:
            if chunk.path not in damaged and not is_present(chunk):
                damaged.add(chunk.path)

        for file in listing.files:
            path = self.path_of(file)
            if not path.is_file() or path.stat().st_size != file.size:
                damaged.add(path)
        run_all(check, self._chunks(listing, damaged), HASH_THREADS)
        for path in damaged:
            path.unlink(missing_ok=True)
        return damaged

    def _chunks(self, listing: Listing, damaged: set[Path]) -> Iterable[Chunk]:
        chunks = (Chunk(file, index, self.path_of(file)) for file, index in all_chunks(listing))
        return [chunk for chunk in chunks if chunk.path not in damaged]

    def _insert(self, source: Path, file: FileEntry) -> None:
        path = self.path_of(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = beside(path)
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
