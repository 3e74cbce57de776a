"""Objects that stand among the store's records and are none: passed over, and named once.

A bucket is open to other tools. What one of them left under `releases/` must not keep anybody from listing,
pulling or publishing; who reads the warning can tell whether it matters.
"""

import functools
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifacts.store.s3 import Bucket

# Without further configuration, Python writes warnings to stderr as they are; in a flow, Prefect logs them.
LOG = logging.getLogger(__name__)


def pass_over(bucket: "Bucket", key: str, why: str) -> None:
    """Name an object that is passed over; once in a process, however often it is met."""
    _name(bucket.where(key), why)


@functools.cache
def _name(where: str, why: str) -> None:
    LOG.warning("passed over %s: %s", where, why)
