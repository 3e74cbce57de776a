"""The store: trees, actions and measurements in one S3 bucket.

    blobs/sha256/<digest>                    bytes of one file, immutable
    trees/sha256/<digest>                    listing of a tree, immutable, written after its blobs
    actions/<stage>/<fingerprint>.json       what a stage made, written once
    latest/<spec>/<variant>/<stage>.json     which action a variant used last, overwritten
    measurements/<key>/<id>.json             appended

Releases and channels (`artifacts.releases`, `artifacts.channels`) stand beside them.

Invariants:
- A tree whose listing exists is complete: killed at any moment, an upload leaves blobs that the next one
  reuses.
- An action is written once; who comes second gets the first one's, so that what is measured is what is
  published. Only a caller who says so replaces one.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from artifacts.actions import Action, LatestAction
from artifacts.cache import BlobCache
from artifacts.canonical import canonical_bytes
from artifacts.disk import disk_errors
from artifacts.errors import AlreadyExists, Conflict, IntegrityError, NotFound
from artifacts.measurements import Measurement
from artifacts.parallel import run_all
from artifacts.s3 import UPLOAD_THREADS, Bucket, open_bucket
from artifacts.settings import Settings
from artifacts.transfer import blob_key
from artifacts.trees import FileEntry, Listing, scan

RecordT = TypeVar("RecordT", bound=BaseModel)
READ_THREADS = 16


class Store:
    """The one place that trees, actions, measurements, releases and channels are kept in."""

    def __init__(self, bucket: Bucket, cache: BlobCache) -> None:
        self.bucket = bucket
        self._cache = cache

    def ensure_bucket(self) -> None:
        """Make the bucket where there is none."""
        self.bucket.ensure()

    def put_tree(
        self, root: Path, *, adopt: bool = False, on_bytes: Callable[[int], None] = lambda _count: None
    ) -> Listing:
        """Upload a directory as a tree: the blobs that are missing, then the listing.

        Args:
            root: the directory; links and special files in it are refused.
            adopt: take its files over into the local cache without copying; they become read-only.
            on_bytes: called with the bytes that each upload adds or finds, from several threads.

        Raises BadTree, NotFound, IntegrityError where a file changes meanwhile, StoreUnreachable,
        LocalDiskError.
        """
        with disk_errors(root):
            listing = scan(root)
            self.upload(root, listing, on_bytes)
        if adopt:
            self._cache.adopt(root, listing)
        return listing

    def upload(
        self, root: Path, listing: Listing, on_bytes: Callable[[int], None] = lambda _count: None
    ) -> None:
        """Upload a directory whose listing is known; nothing is sent where the store has the tree."""
        if self.has_tree(listing.digest):
            return
        small = {file.sha256: file for file in listing.files if len(file.chunks) <= 1}
        large = {file.sha256: file for file in listing.files if len(file.chunks) > 1}
        run_all(lambda file: self._upload_file(root, file, on_bytes), small.values(), UPLOAD_THREADS)
        for file in large.values():  # one after another: each is sent in parallel parts
            self._upload_file(root, file, on_bytes)
        self.bucket.put(_tree_key(listing.digest), canonical_bytes(listing))

    def _upload_file(self, root: Path, file: FileEntry, on_bytes: Callable[[int], None]) -> None:
        key = blob_key(file.sha256)
        stored_bytes = self.bucket.size(key)
        if stored_bytes is None:
            self.bucket.put_file(key, root / file.path, file, on_bytes)
        elif stored_bytes == file.size:
            on_bytes(file.size)
        else:
            raise IntegrityError(
                f"The store's copy of {file.path} has {stored_bytes} bytes instead of {file.size}.",
                where=f"{self.bucket}, key {key}",
                fix="Something else wrote into the bucket: delete that object and start again.",
            )

    def has_tree(self, digest: str) -> bool:
        """Whether the tree is complete in the store."""
        return self.bucket.size(_tree_key(digest)) is not None

    def get_listing(self, digest: str) -> Listing:
        """The listing of a tree; raises NotFound, and IntegrityError where it is not what its name says."""
        listing = self.read_record(_tree_key(digest), Listing)
        if listing.digest != digest:
            raise IntegrityError(
                f"The listing of tree {digest} has digest {listing.digest}.",
                where=f"{self.bucket}, key {_tree_key(digest)}",
                fix="Something else wrote into the bucket: delete that object and build the tree again.",
            )
        return listing

    def read_file(self, tree: str, path: str) -> bytes:
        """One small file of a tree, without the rest of it, verified; raises NotFound, and IntegrityError."""
        digests = {file.path: file.sha256 for file in self.get_listing(tree).files}
        if path not in digests:
            raise NotFound(f"Tree {tree} has no file {path}.", where=str(self.bucket))
        key = blob_key(digests[path])
        body = self.bucket.get(key).body
        if hashlib.sha256(body).hexdigest() != digests[path]:
            raise IntegrityError(
                f"The store's copy of {path} is not what tree {tree} names.",
                where=f"{self.bucket}, key {key}",
                fix="Something else wrote into the bucket: delete that object and build the tree again.",
            )
        return body

    def materialize(self, digest: str, dest: Path, *, writable: bool = False) -> Listing:
        """Make a directory that is exactly the tree, through the local cache; atomic and verified.

        Args:
            digest: the tree.
            dest: the directory to make; it may exist only if it is empty.
            writable: give copies (clones where the file system has them), which may be written to, instead of
                hard links into the cache, which are read-only.

        Raises NotFound, AlreadyExists, IntegrityError, StoreUnreachable, LocalDiskError.
        """
        if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
            raise AlreadyExists("The directory to be made exists.", where=str(dest), fix="Remove it first.")
        listing = self.get_listing(digest)
        self._cache.fill(self.bucket, listing)
        self._cache.place(listing, dest, writable=writable)
        return listing

    def read_action(self, stage: str, fingerprint: str) -> Action | None:
        """The action of that fingerprint, if there is one."""
        try:
            return self.read_record(_action_key(stage, fingerprint), Action)
        except NotFound:
            return None

    def write_action(self, action: Action, *, replace: bool = False) -> Action:
        """Write an action once; returns the stored one, which is another's where another was first.

        `replace` overwrites: for an action whose tree was lost, and for a build that was forced.
        """
        key = _action_key(action.stage, action.fingerprint)
        try:
            self.bucket.put(key, canonical_bytes(action), if_absent=not replace)
        except Conflict:
            return self.read_record(key, Action)
        return action

    def remember_action(self, spec: str, variant: str, action: Action) -> None:
        """Note which action a (spec, variant, stage) uses now, made or reused."""
        latest = LatestAction(stage=action.stage, fingerprint=action.fingerprint)
        self.bucket.put(_latest_key(spec, variant, action.stage), canonical_bytes(latest))

    def last_action(self, spec: str, variant: str, stage: str) -> Action | None:
        """The action that a (spec, variant, stage) used last, to explain a miss against."""
        try:
            latest = self.read_record(_latest_key(spec, variant, stage), LatestAction)
        except NotFound:
            return None
        return self.read_action(stage, latest.fingerprint)

    def append_measurement(self, key: str, measurement: Measurement) -> None:
        """Add a measurement under its key; raises ValueError where it has another key."""
        if measurement.key != key:
            raise ValueError(f"measurement {measurement.id} has key {measurement.key}, not {key}")
        self.bucket.put(
            f"measurements/{key}/{measurement.id}.json", canonical_bytes(measurement), if_absent=True
        )

    def measurements(self, key: str) -> tuple[Measurement, ...]:
        """All measurements of a key, oldest first."""
        return self.read_records(self.bucket.keys(f"measurements/{key}/"), Measurement)

    def read_record(self, key: str, model: type[RecordT]) -> RecordT:
        """A JSON object as a record; raises NotFound, and IntegrityError where it is not such a record."""
        return self.parse_record(key, self.bucket.get(key).body, model)

    def parse_record(self, key: str, body: bytes, model: type[RecordT]) -> RecordT:
        """A record from the bytes that stand under a key; raises IntegrityError."""
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise IntegrityError(
                f"Not a readable {model.__name__}: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
                where=f"{self.bucket}, key {key}",
                fix="It is damaged, or of a newer enginery: update this one, or delete the object.",
            ) from error

    def read_records(self, keys: Iterable[str], model: type[RecordT]) -> tuple[RecordT, ...]:
        """The records of several keys, in their order, read a few at a time."""
        return tuple(run_all(lambda key: self.read_record(key, model), keys, READ_THREADS))


def open_store(settings: Settings) -> Store:
    """The store that the settings and the standard AWS variables name; nothing is asked of the server yet."""
    return Store(open_bucket(settings.store_bucket, settings.store_prefix), BlobCache(settings.cache_dir))


def _tree_key(digest: str) -> str:
    return f"trees/sha256/{digest}"


def _action_key(stage: str, fingerprint: str) -> str:
    return f"actions/{stage}/{fingerprint}.json"


def _latest_key(spec: str, variant: str, stage: str) -> str:
    return f"latest/{spec}/{variant}/{stage}.json"
