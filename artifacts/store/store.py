"""The store: trees, actions and measurements in one S3 bucket.

    blobs/sha256/<digest>                    bytes of one file, immutable
    trees/sha256/<digest>                    listing of a tree, immutable, written after its blobs
    actions/<stage>/<fingerprint>.json       what a stage made, written once
    latest/<spec>/<variant>/<stage>.json     which action a variant used last, overwritten
    measurements/<key>/<id>.json             appended

Releases and channels (`artifacts.releases.releases`, `artifacts.releases.channels`) stand beside them.

Invariants:
- A listing is written after its blobs: killed at any moment, an upload leaves blobs that the next one
  reuses. What is lost later is told by `missing_of`, and an upload of the same tree puts it back.
- A record is taken for what its key says only where it says so itself. Damage is named once two reads agree.
- An action is written once; who comes second gets the first one's, so that what is measured is what is
  published. Only a caller who says so replaces one.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from artifacts.canonical import canonical_bytes
from artifacts.disk import disk_errors
from artifacts.errors import (
    MEND_FIX,
    STRANGER_FIX,
    AlreadyExists,
    Conflict,
    IntegrityError,
    NoSuchFile,
    NotFound,
    StoreUnreachable,
)
from artifacts.parallel import READ_THREADS, run_all
from artifacts.settings import Settings
from artifacts.store.actions import Action, LatestAction
from artifacts.store.cache import BlobCache
from artifacts.store.holdings import by_digest, damaged, defects
from artifacts.store.measurements import Measurement
from artifacts.store.ranges import AGAIN_FIX
from artifacts.store.s3 import UPLOAD_THREADS, Bucket, open_bucket
from artifacts.store.strays import pass_over
from artifacts.store.transfer import blob_key
from artifacts.store.trees import FileEntry, Listing, scan

RecordT = TypeVar("RecordT", bound=BaseModel)
CheckedT = TypeVar("CheckedT")
AGREE_ATTEMPTS = 4


class Store:
    """The one place that trees, actions, measurements, releases and channels are kept in."""

    def __init__(self, bucket: Bucket, cache: BlobCache) -> None:
        self.bucket = bucket
        self._cache = cache

    def ensure_bucket(self) -> None:
        """Make the bucket where there is none."""
        self.bucket.ensure()

    def put_tree(
        self,
        root: Path,
        *,
        adopt: bool = False,
        recheck: bool = False,
        on_bytes: Callable[[int], None] = lambda _count: None,
    ) -> Listing:
        """Upload a directory as a tree: the blobs that are missing or damaged, then the listing.

        Args:
            root: the directory; links and special files in it are refused.
            adopt: take its files over into the local cache without copying; they become read-only.
            recheck: read what the store has of it, too, and replace what has the right size and wrong bytes.
            on_bytes: called with the bytes that each upload adds or finds, from several threads.

        Raises BadTree, NotFound, IntegrityError where a file changes meanwhile, StoreUnreachable,
        LocalDiskError.
        """
        with disk_errors(root):
            listing = scan(root)
            self.upload(root, listing, on_bytes, recheck=recheck)
        if adopt:
            self._cache.adopt(root, listing)
        return listing

    def upload(
        self,
        root: Path,
        listing: Listing,
        on_bytes: Callable[[int], None] = lambda _count: None,
        *,
        recheck: bool = False,
    ) -> None:
        """Upload a directory whose listing is known; nothing is sent that the store has as it should be."""
        files = by_digest(listing.files)
        wanting = damaged(self.bucket, files) if recheck else defects(self.bucket, files)

        def send(file: FileEntry) -> None:
            self.bucket.put_file(
                blob_key(file.sha256),
                root / file.path,
                file,
                on_bytes,
                replace=wanting[file.sha256].is_there,
            )

        for file in files.values():
            if file.sha256 not in wanting:
                on_bytes(file.size)
        sent = [defect.entry for defect in wanting.values()]
        run_all(send, (file for file in sent if len(file.chunks) <= 1), UPLOAD_THREADS)
        for file in sent:  # one after another: each is sent in parallel parts
            if len(file.chunks) > 1:
                send(file)
        self._put_listing(listing)

    def _put_listing(self, listing: Listing) -> None:
        key, body = _tree_key(listing.digest), canonical_bytes(listing)
        try:
            if self.bucket.get(key).body == body:
                return
        except (NotFound, IntegrityError):
            pass  # it was never there, or is damaged: it is written now
        self.bucket.put(key, body)

    def missing_of(self, tree: str) -> tuple[str, ...]:
        """What the store lacks of a tree, a sentence's end each (`model.pt2 is missing`); nothing where it is
        whole. Names and sizes are compared; `inspect_release` reads every byte.
        """
        try:
            listing = self.get_listing(tree)
        except NotFound:
            return ("its listing is missing",)
        except IntegrityError:
            return ("its listing is damaged",)
        return tuple(map(str, defects(self.bucket, by_digest(listing.files)).values()))

    def get_listing(self, digest: str) -> Listing:
        """The listing of a tree; raises NotFound, and IntegrityError where it is not what its name says."""
        return self.read_record(_tree_key(digest), Listing, lambda listing: _tree_key(listing.digest))

    def read_file(self, tree: str, path: str) -> bytes:
        """One small file of a tree, without the rest of it, verified.

        Raises NoSuchFile where the tree has no such file, NotFound where the store has no such tree or blob,
        and IntegrityError.
        """
        digests = {file.path: file.sha256 for file in self.get_listing(tree).files}
        if path not in digests:
            raise NoSuchFile(f"Tree {tree} has no file {path}.", where=str(self.bucket))
        key = blob_key(digests[path])

        def check(body: bytes) -> bytes:
            if hashlib.sha256(body).hexdigest() != digests[path]:
                what = f"The store's copy of {path} is not what tree {tree} names."
                raise IntegrityError(what, where=self.bucket.where(key), fix=MEND_FIX)
            return body

        return self._read_checked(key, check)[0]

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
            return self.read_record(_action_key(stage, fingerprint), Action, _key_of_action)
        except NotFound:
            return None

    def write_action(self, action: Action, *, replace: bool = False) -> Action:
        """Write an action once; returns the stored one, which is another's where another was first.

        `replace` overwrites: for an action whose tree was lost, and for a build that was forced.
        """
        key = _key_of_action(action)
        try:
            self.bucket.put(key, canonical_bytes(action), if_absent=not replace)
        except Conflict:
            return self.read_record(key, Action, _key_of_action)
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
        """Add a measurement under its key; it may be there already, from an attempt whose answer was lost.

        Raises ValueError where it has another key, Conflict where another one stands in its place.
        """
        if measurement.key != key:
            raise ValueError(f"measurement {measurement.id} has key {measurement.key}, not {key}")
        place = _key_of_measurement(measurement)
        try:
            self.bucket.put(place, canonical_bytes(measurement), if_absent=True)
        except Conflict:
            if self.read_record(place, Measurement, _key_of_measurement) != measurement:
                raise

    def measurements(self, key: str) -> tuple[Measurement, ...]:
        """All measurements of a key, oldest first; what is no readable one is passed over and named."""
        found = run_all(self._measurement, self.bucket.keys(f"measurements/{key}/"), READ_THREADS)
        return tuple(one for one in found if one is not None)

    def _measurement(self, key: str) -> Measurement | None:
        try:
            return self.read_record(key, Measurement, _key_of_measurement)
        except IntegrityError as error:
            pass_over(self.bucket, key, error.what)
            return None

    def read_record(
        self, key: str, model: type[RecordT], key_of: Callable[[RecordT], str] | None = None
    ) -> RecordT:
        """A JSON object as a record.

        Args:
            key: where it stands.
            model: what it is.
            key_of: where a record belongs by what it says of itself; one that stands elsewhere is refused.

        Raises NotFound, and IntegrityError where two reads agree that it is not such a record.
        """
        return self.read_record_and_etag(key, model, key_of)[0]

    def read_record_and_etag(
        self, key: str, model: type[RecordT], key_of: Callable[[RecordT], str] | None = None
    ) -> tuple[RecordT, str]:
        """As `read_record`, with the ETag to replace exactly what was read."""
        return self._read_checked(key, lambda body: self.parse_record(key, body, model, key_of))

    def parse_record(
        self, key: str, body: bytes, model: type[RecordT], key_of: Callable[[RecordT], str] | None = None
    ) -> RecordT:
        """A record from the bytes that stand under a key; raises IntegrityError."""
        where = self.bucket.where(key)
        try:
            record = model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            found = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
            raise IntegrityError(
                f"Not a readable {model.__name__}: {found}.",
                where=where,
                fix=f"It is damaged, or of a newer enginery. Update this one; if that is not it: {MEND_FIX}",
            ) from error
        if key_of and (belongs := key_of(record)) != key:
            what = f"This {model.__name__} is another one than its key says: by its content it is {belongs}."
            raise IntegrityError(what, where=where, fix=STRANGER_FIX)
        return record

    def read_records(
        self, keys: Iterable[str], model: type[RecordT], key_of: Callable[[RecordT], str] | None = None
    ) -> tuple[RecordT, ...]:
        """The records of several keys, in their order, read a few at a time."""
        return tuple(run_all(lambda key: self.read_record(key, model, key_of), keys, READ_THREADS))

    def _read_checked(self, key: str, check: Callable[[bytes], CheckedT]) -> tuple[CheckedT, str]:
        """What `check` makes of an object, and the object's ETag.

        An IntegrityError of `check` counts once two reads have brought the same bytes.
        """
        stored = self.bucket.get(key)
        for _attempt in range(AGREE_ATTEMPTS):
            try:
                return check(stored.body), stored.etag
            except IntegrityError:
                before, stored = stored, self.bucket.get(key)
                if before.body == stored.body:
                    raise
        what = "An object came with other bytes each time it was read."
        raise StoreUnreachable(what, where=self.bucket.where(key), fix=AGAIN_FIX)


def open_store(settings: Settings) -> Store:
    """The store that the settings and the standard AWS variables name; nothing is asked of the server yet."""
    return Store(open_bucket(settings.store_bucket, settings.store_prefix), BlobCache(settings.cache_dir))


def _tree_key(digest: str) -> str:
    return f"trees/sha256/{digest}"


def _key_of_action(action: Action) -> str:
    return _action_key(action.stage, action.fingerprint)


def _key_of_measurement(measurement: Measurement) -> str:
    return f"measurements/{measurement.key}/{measurement.id}.json"


def _action_key(stage: str, fingerprint: str) -> str:
    return f"actions/{stage}/{fingerprint}.json"


def _latest_key(spec: str, variant: str, stage: str) -> str:
    return f"latest/{spec}/{variant}/{stage}.json"
