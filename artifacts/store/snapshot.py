"""A store as it was when it was first asked, for commands that only read.

Invariants:
- Nothing is asked for twice: what was read is kept as long as the snapshot lives, and verified like any read.
- Presence is determined by listing the store once, unless it holds more than `LISTED_KEYS` objects of a kind;
  then each tree is looked up by itself, as in any store.
- A verified listing in this host's cache is accepted without reading the store's copy if the store holds an
  object of its key and size whose entity tag is the MD5 of the same bytes. Whatever else the tag is, the
  store's copy is read.
- Nothing is written.
"""

from hashlib import md5
from itertools import islice

from artifacts.store.actions import Action
from artifacts.store.bucket import StoredEntry
from artifacts.store.holdings import by_digest, defects
from artifacts.store.measurements import Measurement
from artifacts.store.reader import tree_key
from artifacts.store.store import Store
from artifacts.store.transfer import blob_key
from artifacts.store.trees import Listing

LISTED_KEYS = 10_000


class Snapshot(Store):
    """A store that is only read, and that remembers what was read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.bucket, store.cache)
        self._entries: dict[str, dict[str, StoredEntry] | None] = {}
        self._listings: dict[str, Listing] = {}
        self._files: dict[tuple[str, str], bytes] = {}
        self._actions: dict[tuple[str, str], Action | None] = {}
        self._missing: dict[str, tuple[str, ...]] = {}
        self._measurements: dict[str, tuple[Measurement, ...]] = {}

    def get_listing(self, digest: str) -> Listing:
        """Return the listing of a tree; raise what `Store.get_listing` raises."""
        if digest not in self._listings:
            self._listings[digest] = self._local_listing(digest) or super().get_listing(digest)
        return self._listings[digest]

    def read_file(self, tree: str, path: str) -> bytes:
        """Return one small file of a tree; raise what `Store.read_file` raises."""
        if (tree, path) not in self._files:
            self._files[tree, path] = super().read_file(tree, path)
        return self._files[tree, path]

    def read_action(self, stage: str, fingerprint: str) -> Action | None:
        """Return the action with this fingerprint, if there is one."""
        if (stage, fingerprint) not in self._actions:
            self._actions[stage, fingerprint] = super().read_action(stage, fingerprint)
        return self._actions[stage, fingerprint]

    def measurements(self, key: str) -> tuple[Measurement, ...]:
        """Return all measurements of a key, oldest first."""
        if key not in self._measurements:
            self._measurements[key] = super().measurements(key)
        return self._measurements[key]

    def missing_of(self, tree: str) -> tuple[str, ...]:
        """Return what the store lacks of a tree, as `Store.missing_of` does."""
        if tree not in self._missing:
            self._missing[tree] = super().missing_of(tree)
        return self._missing[tree]

    def _defects(self, listing: Listing) -> tuple[str, ...]:
        files, entries = by_digest(listing.files), self._entries_below(blob_key(""))
        sizes = None if entries is None else {key: entry.size_bytes for key, entry in entries.items()}
        return tuple(map(str, defects(self.bucket, files, sizes).values()))

    def _local_listing(self, digest: str) -> Listing | None:
        key, body = tree_key(digest), self.cache.read_listing(digest)
        stored = (self._entries_below(tree_key("")) or {}).get(key)
        if body is None or stored != StoredEntry(
            key, len(body), md5(body, usedforsecurity=False).hexdigest()
        ):
            return None
        return self._parse(key, body, Listing, lambda listing: tree_key(listing.digest))

    def _entries_below(self, prefix: str) -> dict[str, StoredEntry] | None:
        """Return all objects below a prefix, by key; None if there are too many to list."""
        if prefix not in self._entries:
            found = list(islice(self.bucket.entries(prefix), LISTED_KEYS + 1))
            few = len(found) <= LISTED_KEYS
            self._entries[prefix] = {entry.key: entry for entry in found} if few else None
        return self._entries[prefix]
