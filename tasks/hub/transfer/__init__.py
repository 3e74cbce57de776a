"""Bytes from the Hub: files by ranges, waiting as long as the Hub asks for, and digests.

Promises:
- A download that was interrupted goes on inside the file, also after a kill.
- The Hub is asked again when it says to come back, and not before; all other failures are raised at once.
"""

from tasks.hub.transfer.blobs import Incomplete, bring_blob, kept_bytes
from tasks.hub.transfer.digests import content_problem, git_blob_id
from tasks.hub.transfer.ranges import open_range
from tasks.hub.transfer.retry_after import patiently, wait_s

__all__ = [
    "Incomplete",
    "bring_blob",
    "content_problem",
    "git_blob_id",
    "kept_bytes",
    "open_range",
    "patiently",
    "wait_s",
]
