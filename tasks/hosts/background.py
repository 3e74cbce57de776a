"""A thread for the time of a context."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(run: Callable[[], None], end: threading.Event, name: str) -> Iterator[None]:
    """Run a function in a thread; with the context, set `end`, which has to end it, and wait for that."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
