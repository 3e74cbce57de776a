"""Doing the same to many things at once, where the first failure ends it all."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")


def run_all(
    work: Callable[[T], object], items: Iterable[T], threads: int, stop: threading.Event | None = None
) -> None:
    """Call work(item) for every item, in threads.

    When one fails or Ctrl-C comes, what was not begun is dropped and `stop` is set, which long calls may
    look at. Raises what the first failing call raised, once the calls that were under way have ended.
    """
    with ThreadPoolExecutor(threads) as pool:
        calls = [pool.submit(work, item) for item in items]
        try:
            for call in as_completed(calls):
                call.result()
        except BaseException:
            if stop:
                stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
