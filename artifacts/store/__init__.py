"""The store: trees of files by digest, and the records that point to them, in one bucket.

Promises:
- A tree, a blob and an action are immutable; a record that was written stays as it is.
- Bytes that are handed out match the digest or the key under which they are known.
- Nothing outside this folder knows how keys are spelled, or what kind of place keeps the bytes. In it, only
  `factory` does, which chooses: the others know the interface `bucket`.
"""

from artifacts.store.actions import Action
from artifacts.store.factory import has_access, open_store
from artifacts.store.holdings import by_digest, damaged
from artifacts.store.measurements import ID_PATTERN, Measurement, MeasurementKind, new_id, new_measurement
from artifacts.store.snapshot import Snapshot
from artifacts.store.store import Store
from artifacts.store.strays import warn_skipped
from artifacts.store.transfer import Progress, blob_key, download
from artifacts.store.trees import REINSTALL, Listing, compare, path_problem, verify

__all__ = [
    "ID_PATTERN",
    "REINSTALL",
    "Action",
    "Listing",
    "Measurement",
    "MeasurementKind",
    "Progress",
    "Snapshot",
    "Store",
    "blob_key",
    "by_digest",
    "compare",
    "damaged",
    "download",
    "has_access",
    "new_id",
    "new_measurement",
    "open_store",
    "path_problem",
    "verify",
    "warn_skipped",
]
