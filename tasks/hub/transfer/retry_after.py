"""Waiting as long as the Hub asks for.

Invariants:
- Only an answer that names a time is asked for again. All other failures are raised: whoever starts a run
  decides whether it is tried again.
- The waits of one request take at most `MOST_WAIT_S` in all.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError

LOG = logging.getLogger(__name__)
# The Hub counts requests in windows of five minutes.
MOST_WAIT_S = 600.0
MOST_WAITS = 20
# The draft standard that the Hub follows: `RateLimit: "api";r=0;t=55` leaves no request for 55 seconds.
LIMIT_REACHED = re.compile(r";\s*r=0;\s*t=(\d+)")

Result = TypeVar("Result")


def patiently(ask: Callable[[], Result]) -> Result:
    """Return what `ask` returns; call it again whenever the Hub answered when to come back.

    Raises:
        HfHubHTTPError: the Hub names no time, or one that is too far away.
    """
    waited_s = 0.0
    for _ in range(MOST_WAITS):
        try:
            return ask()
        except HfHubHTTPError as error:
            delay_s = wait_s(error)
            if delay_s is None or waited_s + delay_s > MOST_WAIT_S:
                raise
        LOG.warning("the Hub asks to come back in %.0f s", delay_s)
        time.sleep(delay_s)
        waited_s += delay_s
    return ask()


def wait_s(error: HfHubHTTPError) -> float | None:
    """Return after how many seconds the Hub wants to be asked again; None if it did not say so."""
    headers = error.response.headers
    if named := headers.get("Retry-After"):
        return _retry_after_s(named.strip(), headers)
    limit = LIMIT_REACHED.search(headers.get("RateLimit", ""))
    return None if limit is None else float(limit[1])


def _retry_after_s(named: str, headers: Mapping[str, str]) -> float | None:
    """Read a number of seconds, or a date, which counts from the server's own clock."""
    if named.isdecimal():
        return float(named)
    then, now = _date(named), _date(headers.get("Date", ""))
    if then is None or now is None:
        return None
    return max((then - now).total_seconds(), 0.0)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
