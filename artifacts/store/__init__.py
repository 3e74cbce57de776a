"""The store: trees of files by digest, and the records that point to them, in one S3 bucket.

Promises:
- A tree, a blob and an action are immutable; a record that was written stays as it is.
- Bytes that are handed out match the digest or the key under which they are known.
- Nothing outside this folder knows boto3, or how keys are spelled.
"""

from artifacts.store.actions import Action
from artifacts.store.holdings import by_digest, damaged
from artifacts.store.measurements import ID_PATTERN, Measurement, MeasurementKind, new_id, new_measurement
from artifacts.store.s3 import has_credentials
from artifacts.store.snapshot import Snapshot
from artifacts.store.store import Store, open_store
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
    "has_credentials",
    "new_id",
    "new_measurement",
    "open_store",
    "path_problem",
    "verify",
    "warn_skipped",
]
