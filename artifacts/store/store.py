"""The store: trees, actions and measurements in one bucket.

    blobs/sha256/<digest>                    bytes of one file, immutable
    trees/sha256/<digest>                    listing of a tree, immutable, written after its blobs
    actions/<stage>/<fingerprint>.json       what a stage made, written once
    latest/<spec>/<variant>/<stage>.json     which action a variant used last, overwritten
    measurements/<key>/<id>.json             appended

Releases and channels (`artifacts.releases.releases`, `artifacts.releases.channels`) are in the same bucket.

Invariants:
- A listing is written after its blobs: an upload that is killed at any moment leaves blobs that the next one
  reuses. `missing_of` reports what is lost later, and another upload of the same tree restores it.
- What is read is verified (`artifacts.store.reader`).
- What a host uploads is also kept in its own cache, so that it is not downloaded again.
- An action is written once, and a second writer gets the action of the first, so that what is measured is
  what is published. An action is only replaced if the caller asks for it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from artifacts.canonical import canonical_bytes
from artifacts.disk import disk_errors
from artifacts.errors import AlreadyExists, ArtifactError, Conflict, IntegrityError, NotFound
from artifacts.parallel import READ_THREADS, run_all
from artifacts.progress import OnBytes, ignore_bytes
from artifacts.store.actions import Action, LatestAction
from artifacts.store.bucket import UPLOAD_THREADS
from artifacts.store.holdings import by_digest, damaged, defects
from artifacts.store.measurements import Measurement
from artifacts.store.reader import StoreReader, tree_key
from artifacts.store.strays import warn_skipped
from artifacts.store.transfer import blob_key
from artifacts.store.trees import FileEntry, Listing, scan

LOG = logging.getLogger(__name__)


class Store(StoreReader):
    """The place where trees, actions, measurements, releases and channels are kept.

    The methods that read are those of `artifacts.store.reader`.
    """

    def ensure_bucket(self) -> None:
        """Create the bucket if it does not exist."""
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
        cannot be kept, the log says why, and they are downloaded when they are needed.

        Args:
            root: the directory; links and special files in it are refused.
            consume: the caller is about to delete the directory, and nothing writes into it any more, so its
                files may be hard-linked into the cache, and become read-only. Otherwise they are copied.
            recheck: also read the blobs that the store already has, and replace those with wrong bytes.
            on_bytes: called with the bytes that were uploaded or found in the store, from several threads.

        Raises BadTree, NotFound, IntegrityError if a file changes meanwhile, StoreUnreachable,
        LocalDiskError.
        """
        with disk_errors(root):
            listing = scan(root)
            self.upload(root, listing, on_bytes, recheck=recheck)
        self._adopt(root, listing, consume=consume)
        return listing

    def _adopt(self, root: Path, listing: Listing, *, consume: bool) -> None:
        """Keep the files in the cache as well; if that fails, the tree is in the store all the same."""
        try:
            changed = self.cache.adopt(root, listing, consume=consume)
            self.cache.keep_listing(listing.digest, canonical_bytes(listing))
        except ArtifactError as error:
            LOG.warning("tree %s is not kept in the local cache: %s", listing.digest[:12], error)
            return
        if changed:
            message = "files that changed after tree %s was uploaded are not kept in the local cache: %s"
            LOG.warning(message, listing.digest[:12], ", ".join(changed))

    def upload(
        self,
        root: Path,
        listing: Listing,
        on_bytes: OnBytes = ignore_bytes,
        *,
        recheck: bool = False,
    ) -> None:
        """Upload a directory whose listing is known; blobs that are intact in the store are not sent."""
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
        for file in sent:  # one after the other: each is sent in parallel parts
            if len(file.chunks) > 1:
                send(file)
        self._put_listing(listing)

    def put_below(self, tree: str, below: Mapping[str, str]) -> Listing:
        """Record a tree that holds another one, and further ones in folders of it; nothing is uploaded.

        Args:
            tree: the tree in its root.
            below: digest of each further tree, by the path of its folder, which the first one lacks.

        Raises NotFound if the store lacks a listing; ValueError if a path would be in it twice.
        """
        files = list(self.get_listing(tree).files)
        for folder, other in below.items():
            listed = self.get_listing(other).files
            files += [file.model_copy(update={"path": f"{folder}/{file.path}"}) for file in listed]
        listing = Listing(files=tuple(sorted(files, key=lambda file: file.path)))
        self._put_listing(listing)
        return listing

    def _put_listing(self, listing: Listing) -> None:
        try:
            self.get_listing(listing.digest)
        except (NotFound, IntegrityError):  # it was never there, or is damaged
            self.bucket.put(tree_key(listing.digest), canonical_bytes(listing))

    def missing_of(self, tree: str) -> tuple[str, ...]:
        """Return what the store lacks of a tree, such as `model.pt2 is missing`; nothing if it is whole.

        Names and sizes are compared; `inspect_release` reads every byte.
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
        """Make a directory that is exactly the tree, verified, through the local cache; atomic.

        Args:
            digest: the tree.
            dest: the directory to make; it may exist only if it is empty.
            writable: make writable copies (clones if the file system supports them) instead of read-only hard
                links into the cache.

        Raises NotFound, AlreadyExists, IntegrityError, StoreUnreachable, LocalDiskError.
        """
        if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
            raise AlreadyExists("the directory already exists", where=str(dest), fix="remove it first")
        listing = self.get_listing(digest)
        self.cache.fill(self.bucket, listing)
        self.cache.keep_listing(digest, canonical_bytes(listing))
        self.cache.place(listing, dest, writable=writable)
        return listing

    def read_action(self, stage: str, fingerprint: str) -> Action | None:
        """Return the action with this fingerprint, if there is one."""
        try:
            return self.read_record(_action_key(stage, fingerprint), Action, _key_of_action)
        except NotFound:
            return None

    def write_action(self, action: Action, *, replace: bool = False) -> Action:
        """Write an action once; return the stored one, which is that of the first writer.

        `replace` overwrites an action: one whose tree was lost, or that of a build that was forced.
        """
        key = _key_of_action(action)
        try:
            self.bucket.put(key, canonical_bytes(action), if_absent=not replace)
        except Conflict:
            return self.read_record(key, Action, _key_of_action)
        return action

    def remember_action(self, spec: str, variant: str, action: Action) -> None:
        """Record which action a (spec, variant, stage) uses now, whether it was made or reused."""
        latest = LatestAction(spec=spec, variant=variant, stage=action.stage, fingerprint=action.fingerprint)
        self.bucket.put(_key_of_latest(latest), canonical_bytes(latest))

    def last_action(self, spec: str, variant: str, stage: str) -> Action | None:
        """Return the action that a (spec, variant, stage) used last, with which a miss is compared."""
        try:
            key = _latest_key(spec, variant, stage)
            latest = self.read_record(key, LatestAction, _key_of_latest)
        except NotFound:
            return None
        return self.read_action(stage, latest.fingerprint)

    def append_measurement(self, key: str, measurement: Measurement) -> None:
        """Add a measurement under its key; it may already exist, from an attempt whose answer was lost.

        Raises ValueError if it has another key, Conflict if there is a different one with the same id.
        """
        if measurement.key != key:
            raise ValueError(f"measurement {measurement.id} has key {measurement.key}, not {key}")
        place = _key_of_measurement(measurement)
        try:
            self.bucket.put(place, canonical_bytes(measurement), if_absent=True)
        except Conflict:
            if self.read_record(place, Measurement, _key_of_measurement) != measurement:
                raise

    def link_to(self, tree: str, path: str, *, content_type: str, valid_s: int) -> str | None:
        """Return an address at which a browser without credentials can read one file of a tree for a while.

        The file is verified before the address is returned, as a browser cannot do that itself. None if the
        store has no such addresses.

        Args:
            tree: the tree.
            path: the file in it.
            content_type: media type that the server sends with it.
            valid_s: how long the address is valid, in seconds; a week at most.

        Raises NotFound, NoSuchFile or IntegrityError, as `read_file` does.
        """
        entry = self.require_stored(tree, path)
        return self.bucket.signed_url(blob_key(entry.sha256), content_type=content_type, valid_s=valid_s)

    def measurements(self, key: str) -> tuple[Measurement, ...]:
        """Return all measurements of a key, oldest first; unreadable ones are skipped with a warning."""
        found = run_all(self._measurement, self.bucket.keys(f"measurements/{key}/"), READ_THREADS)
        return tuple(one for one in found if one is not None)

    def _measurement(self, key: str) -> Measurement | None:
        try:
            return self.read_record(key, Measurement, _key_of_measurement)
        except IntegrityError as error:
            warn_skipped(self.bucket, key, error.what)
            return None


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
