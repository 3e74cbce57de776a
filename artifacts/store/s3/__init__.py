"""The store's objects in an S3 bucket: the only place that knows boto3.

Promises what `artifacts.store.bucket` asks of every place that keeps objects.
"""

from artifacts.store.s3.bucket import has_credentials, open_bucket

__all__ = ["has_credentials", "open_bucket"]
