"""Objects among the store's records that are not records: they are skipped, each with one warning.

Other tools can write to a bucket. What one of them left under `releases/` must not keep anybody from listing,
pulling or publishing; the reader of the warning can decide whether it matters.
"""

import functools
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifacts.store.bucket import Bucket

# Without further configuration, Python writes warnings to stderr as they are; in a flow, Prefect logs them.
LOG = logging.getLogger(__name__)


def warn_skipped(bucket: "Bucket", key: str, why: str) -> None:
    """Warn that an object is skipped; once per process, however often it is found."""
    _name(bucket.where(key), why)


@functools.cache
def _name(where: str, why: str) -> None:
    LOG.warning("skipped %s: %s", where, why)
