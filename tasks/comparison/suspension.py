"""Suspending a server with all of its processes, and letting it go on."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def suspended(pids: Sequence[int]) -> Iterator[None]:
    """Stop these processes and their descendants for the time of the context.

    A process that has ended is left out; that its server has is noticed by whoever asks it.
    """
    family = [one for pid in pids for one in (pid, *_descendants(pid))]
    try:
        _send(family, signal.SIGSTOP)
        yield
    finally:
        _send(family, signal.SIGCONT)


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (parent := _parent(path)):
            children.setdefault(parent, []).append(int(path.name))
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for one in frontier for child in children.get(one, [])]
        found += frontier
    return found


def _parent(process: Path) -> int | None:
    try:
        stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])
