"""Doing the same to many things at once, where the first failure ends it all.

The threads are daemons on purpose: when Ctrl-C comes, a thread that waits for a silent server must not hold
up the end of the process, as those of `concurrent.futures` would.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

# Small objects that are read at once.
READ_THREADS = 16
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def run_all(
    work: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    threads: int,
    stop: threading.Event | None = None,
) -> list[ResultT]:
    """Call work(item) for every item, in threads; returns the results in the order of the items.

    When a call fails, what was not begun is dropped, `stop` is set, which long calls may look at, and the
    failure is raised once the calls under way have ended. When Ctrl-C comes, `stop` is set and nothing is
    waited for.
    """
    stop = stop or threading.Event()
    waiting: queue.SimpleQueue[tuple[int, ItemT]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        waiting.put(numbered)
    results: dict[int, ResultT] = {}
    failures: list[BaseException] = []

    def labour() -> None:
        while not stop.is_set():
            try:
                index, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[index] = work(item)
            except BaseException as failure:  # noqa: BLE001 - it is raised where the results are waited for
                failures.append(failure)
                stop.set()

    _join([threading.Thread(target=labour, daemon=True) for _ in range(min(threads, waiting.qsize()))], stop)
    if failures:
        raise failures[0]
    return [results[index] for index in sorted(results)]


def _join(workers: list[threading.Thread], stop: threading.Event) -> None:
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except BaseException:
        stop.set()
        raise
