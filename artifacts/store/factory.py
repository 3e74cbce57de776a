"""Opens the store that the settings name: the only place that chooses between kinds of buckets.

Every store is an S3 bucket so far. Another kind is a folder next to `s3` with a class of
`artifacts.store.bucket.Bucket`, and a case in each of these functions.
"""

from artifacts.settings import Settings
from artifacts.store import s3
from artifacts.store.cache import BlobCache
from artifacts.store.store import Store


def open_store(settings: Settings) -> Store:
    """Open the store that the settings and the standard AWS variables name; no request is made yet."""
    return Store(s3.open_bucket(settings.store_bucket, settings.store_prefix), BlobCache(settings.cache_dir))


def has_access(settings: Settings) -> bool:  # noqa: ARG001  boto3 reads variables and files of its own
    """Return whether this host has what that store asks of its clients: for S3, credentials."""
    return s3.has_credentials()
