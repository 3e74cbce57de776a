"""Suspending a server with all of its processes, and letting it go on."""

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from artifacts.processes import family


@contextmanager
def suspended(pids: Sequence[int]) -> Iterator[None]:
    """Stop these processes and their descendants for the time of the context.

    A process that has ended is left out; that its server has is noticed by whoever asks it.
    """
    stopped = set[int]().union(*map(family, pids))
    try:
        _send(stopped, signal.SIGSTOP)
        yield
    finally:
        _send(stopped, signal.SIGCONT)


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
