"""Calling one function for many items in threads; the first failure stops the rest.

The threads are daemons on purpose: on Ctrl-C, a thread that waits for a silent server must not delay the exit
of the process, as those of `concurrent.futures` would.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

# Threads for reading many small objects.
READ_THREADS = 16
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def run_all(
    work: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    threads: int,
    stop: threading.Event | None = None,
) -> list[ResultT]:
    """Call work(item) for every item, in threads; return the results in the order of the items.

    If a call fails, items that were not started are dropped, `stop` is set (long calls may check it), and the
    failure is raised once the running calls have ended. On Ctrl-C, `stop` is set and nothing is waited for.
    """
    stop = stop or threading.Event()
    waiting: queue.SimpleQueue[tuple[int, ItemT]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        waiting.put(numbered)
    results: dict[int, ResultT] = {}
    failures: list[BaseException] = []

    def drain() -> None:
        while not stop.is_set():
            try:
                index, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[index] = work(item)
            except BaseException as failure:  # noqa: BLE001 - raised again in the caller's thread
                failures.append(failure)
                stop.set()

    _join([threading.Thread(target=drain, daemon=True) for _ in range(min(threads, waiting.qsize()))], stop)
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
