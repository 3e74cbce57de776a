"""The only reader of the store: it stands between bytes in a bucket and what the rest of the code believes.

Invariants:
- An object that is named by its content (a listing, a file of a tree) is accepted only if its bytes have that
  digest. A file is checked as a whole and chunk by chunk, so that a listing that contradicts itself cannot
  lead two readers to different bytes.
- Any other object (an action, measurement, verdict, release, reservation or channel) is accepted only as a
  closed record of its kind that belongs, by its own content, under the key that it was read from.
- Damage is reported once two reads return the same wrong bytes.
- Nothing else reads an object into memory; blobs on their way to disk, which may be too large for that, go
  through `artifacts.store.transfer`, chunk by chunk.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from artifacts.errors import RESTORE_FIX, STRANGER_FIX, IntegrityError, NoSuchFile, NotFound, StoreUnreachable
from artifacts.parallel import READ_THREADS, run_all
from artifacts.store.bucket import AGAIN_FIX, Bucket
from artifacts.store.cache import BlobCache
from artifacts.store.transfer import blob_key
from artifacts.store.trees import FileEntry, Listing

RecordT = TypeVar("RecordT", bound=BaseModel)
CheckedT = TypeVar("CheckedT")
AGREE_ATTEMPTS = 4
FILES_SHOWN = 8


class StoreReader:
    """Reads the objects of a bucket, and verifies all of them."""

    def __init__(self, bucket: Bucket, cache: BlobCache) -> None:
        self.bucket = bucket
        self.cache = cache

    def get_listing(self, digest: str) -> Listing:
        """Return the listing of a tree; raise NotFound, or IntegrityError if its digest is another one."""
        key = tree_key(digest)

        def check(body: bytes) -> Listing:
            if (actual := hashlib.sha256(body).hexdigest()) != digest:
                raise IntegrityError(
                    f"the listing of tree {digest} is damaged in the store: its bytes have SHA-256 {actual}",
                    where=self.bucket.where(key),
                    fix=RESTORE_FIX,
                )
            return self._parse(key, body, Listing, lambda listing: tree_key(listing.digest))

        return self._read_checked(key, check)[0]

    def get_entry(self, tree: str, path: str) -> FileEntry:
        """Return what the listing of a tree says about one file.

        Raises NotFound if the store has no such tree, NoSuchFile if the tree has no such file, and
        IntegrityError if the listing is damaged.
        """
        files = self.get_listing(tree).files
        for entry in files:
            if entry.path == path:
                return entry
        shown = ", ".join(entry.path for entry in files[:FILES_SHOWN]) or "none"
        more = f" and {len(files) - FILES_SHOWN} more" if len(files) > FILES_SHOWN else ""
        raise NoSuchFile(
            f"tree {tree} has no file {path}",
            where=f"{self.bucket.where(tree_key(tree))}; files there: {shown}{more}",
            fix="check that this is the tree that was meant; if it is, the stage that made it left the file "
            "out: run the stage again with `enginery build SPEC --force`",
        )

    def read_file(self, tree: str, path: str) -> bytes:
        """Return one small file of a tree: from this host's cache, otherwise from the store.

        Raises what `get_entry` raises, and IntegrityError if the blob is damaged or missing.
        """
        entry = self.get_entry(tree, path)
        cached = self.cache.read(entry)
        return self._read_blob(entry) if cached is None else cached

    def read_json(self, tree: str, path: str) -> dict[str, Any]:
        """Return the JSON object in one small file of a tree.

        Raises what `read_file` raises, and IntegrityError if the file holds anything else.
        """
        try:
            document = json.loads(self.read_file(tree, path))
        except ValueError as error:  # invalid UTF-8 or invalid JSON
            raise self._unreadable(tree, path, f"JSON: {error}") from error
        if not isinstance(document, dict):
            raise self._unreadable(tree, path, f"a JSON object but a {type(document).__name__}")
        return document

    def read_document(self, tree: str, path: str, model: type[RecordT]) -> RecordT:
        """Return the record in one small file of a tree.

        Raises what `read_file` raises, and IntegrityError if the file holds anything else.
        """
        body = self.read_file(tree, path)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise self._unreadable(tree, path, f"a readable {model.__name__}: {_first(error)}") from error

    def require_stored(self, tree: str, path: str) -> FileEntry:
        """Verify the store's own copy of one small file of a tree, whatever this host's cache holds.

        If the server kept the SHA-256 of the upload, no byte is read. Returns what the listing says about the
        file. Raises what `read_file` raises.
        """
        entry = self.get_entry(tree, path)
        if self.bucket.kept_sha256(blob_key(entry.sha256)) != entry.sha256:
            self._read_blob(entry)
        return entry

    def read_record(self, key: str, model: type[RecordT], key_of: Callable[[RecordT], str]) -> RecordT:
        """Return the record that is stored under a key.

        Args:
            key: the key that it is read from.
            model: type of the record.
            key_of: returns the key under which a record belongs by its content; any other key is refused.

        Raises NotFound, or IntegrityError once two reads agree that the object is not such a record.
        """
        return self.read_record_and_etag(key, model, key_of)[0]

    def read_record_and_etag(
        self, key: str, model: type[RecordT], key_of: Callable[[RecordT], str]
    ) -> tuple[RecordT, str]:
        """Return a record as `read_record` does, and the ETag with which to replace exactly what was read."""
        return self._read_checked(key, lambda body: self._parse(key, body, model, key_of))

    def read_records(
        self, keys: Iterable[str], model: type[RecordT], key_of: Callable[[RecordT], str]
    ) -> tuple[RecordT, ...]:
        """Return the records of several keys, in the order of the keys; a few are read at a time."""
        return tuple(run_all(lambda key: self.read_record(key, model, key_of), keys, READ_THREADS))

    def _read_blob(self, entry: FileEntry) -> bytes:
        key = blob_key(entry.sha256)

        def check(body: bytes) -> bytes:
            if entry.is_made_of(body):
                return body
            raise IntegrityError(
                f"{entry.path} is damaged in the store: its {len(body)} bytes have SHA-256 "
                f"{hashlib.sha256(body).hexdigest()[:16]}.. instead of {entry.size} bytes with "
                f"{entry.sha256[:16]}..",
                where=self.bucket.where(key),
                fix=RESTORE_FIX,
            )

        try:
            return self._read_checked(key, check)[0]
        except NotFound as error:
            what = f"the blob of {entry.path} is missing from the store"
            raise IntegrityError(what, where=error.where, fix=RESTORE_FIX) from error

    def _parse(
        self, key: str, body: bytes, model: type[RecordT], key_of: Callable[[RecordT], str]
    ) -> RecordT:
        """Parse the bytes that were read from a key; raise IntegrityError if they are not such a record."""
        where = self.bucket.where(key)
        try:
            record = model.model_validate_json(body)
        except ValidationError as error:
            raise IntegrityError(
                f"not a readable {model.__name__}: {_first(error)}",
                where=where,
                fix="update enginery, if a newer version may have written it; if that does not help: "
                f"{RESTORE_FIX}",
            ) from error
        if (belongs := key_of(record)) != key:
            what = f"this {model.__name__} does not belong under its key: by its content it is {belongs}"
            raise IntegrityError(what, where=where, fix=STRANGER_FIX)
        return record

    def _unreadable(self, tree: str, path: str, what: str) -> IntegrityError:
        """Make the error for a file whose bytes are right, but whose content is unusable."""
        return IntegrityError(
            f"{path} of tree {tree} is not {what}",
            where=self.bucket.where(tree_key(tree)),
            fix="its bytes match the tree, so it was made like this, perhaps by a newer version of enginery: "
            "update this one, or make the tree again",
        )

    def _read_checked(self, key: str, check: Callable[[bytes], CheckedT]) -> tuple[CheckedT, str]:
        """Return what `check` makes of an object, and the object's ETag.

        An IntegrityError of `check` is final once two reads have returned the same bytes.
        """
        stored = self.bucket.get(key)
        for _attempt in range(AGREE_ATTEMPTS):
            try:
                return check(stored.body), stored.etag
            except IntegrityError:
                before, stored = stored, self.bucket.get(key)
                if before.body == stored.body:
                    raise
        what = "each read of this object returned other bytes"
        raise StoreUnreachable(what, where=self.bucket.where(key), fix=AGAIN_FIX)


def tree_key(digest: str) -> str:
    """Return the key of a tree's listing in the store."""
    return f"trees/sha256/{digest}"


def _first(error: ValidationError) -> str:
    """Describe the first problem of a record in words."""
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
