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
- What is read is verified (`artifacts.store.reader`).
- What a host put into the store lies in its own cache, too: it is not downloaded again.
- An action is written once; who comes second gets the first one's, so that what is measured is what is
  published. Only a caller who says so replaces one.
"""

import logging
from pathlib import Path

from artifacts.canonical import canonical_bytes
from artifacts.disk import disk_errors
from artifacts.errors import AlreadyExists, ArtifactError, Conflict, IntegrityError, NotFound
from artifacts.parallel import READ_THREADS, run_all
from artifacts.progress import OnBytes, ignore_bytes
from artifacts.settings import Settings
from artifacts.store.actions import Action, LatestAction
from artifacts.store.cache import BlobCache
from artifacts.store.holdings import by_digest, damaged, defects
from artifacts.store.measurements import Measurement
from artifacts.store.reader import StoreReader, tree_key
from artifacts.store.s3 import UPLOAD_THREADS, open_bucket
from artifacts.store.strays import pass_over
from artifacts.store.transfer import blob_key
from artifacts.store.trees import FileEntry, Listing, scan

LOG = logging.getLogger(__name__)


class Store(StoreReader):
    """The one place that trees, actions, measurements, releases and channels are kept in.

    Reading what is kept: `artifacts.store.reader`.
    """

    def ensure_bucket(self) -> None:
        """Make the bucket where there is none."""
        self.bucket.ensure()

    def put_tree(
        self,
        root: Path,
        *,
        consume: bool = False,
        recheck: bool = False,
        on_bytes: OnBytes = ignore_bytes,
    ) -> Listing:
        """Upload a directory as a tree: the blobs that are missing or damaged, then the listing.

        Its files are kept in the local cache, so that this host does not download what it made. If they
        cannot be kept, the log says why, and whoever needs them downloads them.

        Args:
            root: the directory; links and special files in it are refused.
            consume: the caller is about to delete the directory, and nobody writes into it any more: its
                files may get a second name in the cache, and become read-only. Otherwise they are copied.
            recheck: read what the store has of it, too, and replace what has the right size and wrong bytes.
            on_bytes: called with the bytes that each upload adds or finds, from several threads.

        Raises BadTree, NotFound, IntegrityError where a file changes meanwhile, StoreUnreachable,
        LocalDiskError.
        """
        with disk_errors(root):
            listing = scan(root)
            self.upload(root, listing, on_bytes, recheck=recheck)
        self._adopt(root, listing, consume=consume)
        return listing

    def _adopt(self, root: Path, listing: Listing, *, consume: bool) -> None:
        """Keep the files in the cache as well; the tree is in the store, whatever comes of this."""
        try:
            changed = self.cache.adopt(root, listing, consume=consume)
            self.cache.keep_listing(listing.digest, canonical_bytes(listing))
        except ArtifactError as error:
            LOG.warning("tree %s is not kept in the local cache: %s", listing.digest[:12], error)
            return
        if changed:
            said = "changed after tree %s was made of them, and are not kept in the local cache: %s"
            LOG.warning(said, listing.digest[:12], ", ".join(changed))

    def upload(
        self,
        root: Path,
        listing: Listing,
        on_bytes: OnBytes = ignore_bytes,
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
        try:
            self.get_listing(listing.digest)
        except (NotFound, IntegrityError):  # it was never there, or is damaged
            self.bucket.put(tree_key(listing.digest), canonical_bytes(listing))

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
        return self._defects(listing)

    def _defects(self, listing: Listing) -> tuple[str, ...]:
        return tuple(map(str, defects(self.bucket, by_digest(listing.files)).values()))

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
        self.cache.fill(self.bucket, listing)
        self.cache.keep_listing(digest, canonical_bytes(listing))
        self.cache.place(listing, dest, writable=writable)
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
        latest = LatestAction(spec=spec, variant=variant, stage=action.stage, fingerprint=action.fingerprint)
        self.bucket.put(_key_of_latest(latest), canonical_bytes(latest))

    def last_action(self, spec: str, variant: str, stage: str) -> Action | None:
        """The action that a (spec, variant, stage) used last, to explain a miss against."""
        try:
            key = _latest_key(spec, variant, stage)
            latest = self.read_record(key, LatestAction, _key_of_latest)
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

    def link_to(self, tree: str, path: str, *, content_type: str, valid_s: int) -> str:
        """An address by which a browser without credentials may read one file of a tree for a while.

        What stands there now was verified; a browser cannot do that itself.

        Args:
            tree: the tree.
            path: the file in it.
            content_type: what the server is to call it.
            valid_s: for how long, in seconds; a week at most.

        Raises NotFound, NoSuchFile and IntegrityError, as `read_file` does.
        """
        entry = self.require_stored(tree, path)
        return self.bucket.signed_url(blob_key(entry.sha256), content_type=content_type, valid_s=valid_s)

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


def open_store(settings: Settings) -> Store:
    """The store that the settings and the standard AWS variables name; nothing is asked of the server yet."""
    return Store(open_bucket(settings.store_bucket, settings.store_prefix), BlobCache(settings.cache_dir))


def _key_of_action(action: Action) -> str:
    return _action_key(action.stage, action.fingerprint)


def _key_of_latest(latest: LatestAction) -> str:
    return _latest_key(latest.spec, latest.variant, latest.stage)


def _key_of_measurement(measurement: Measurement) -> str:
    return f"measurements/{measurement.key}/{measurement.id}.json"


def _action_key(stage: str, fingerprint: str) -> str:
    return f"actions/{stage}/{fingerprint}.json"


def _latest_key(spec: str, variant: str, stage: str) -> str:
    return f"latest/{spec}/{variant}/{stage}.json"
