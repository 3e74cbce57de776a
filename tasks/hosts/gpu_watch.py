"""What is seen of the GPUs while sides serve: peak memory by side, lowered clocks, and who else computes.

Invariants:
- Memory counts by process if the driver names the side's processes; otherwise by device, if no other side is
  on it; otherwise it is absent.
- A reading per second: the thread must not disturb what is timed in the same process.
- A process that is not visible from here (the driver sees other process ids than a container) may be one of
  ours, and is never taken for a stranger.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

from artifacts.hosts import GpuReader, GpuReading
from artifacts.processes import descends
from tasks.hosts.background import in_background

LOOK_EVERY_S = 1.0
# Enough for the longest round.
KEPT_LOOKS = 4096


@dataclass
class _Watched:
    """A server that is being watched, or was."""

    gpus: tuple[str, ...]
    pid: int
    alone: bool
    peak: int | None = None
    read_by: Literal["process", "device"] | None = None
    family: dict[int, bool] = field(default_factory=dict)

    def look(self, readings: dict[str, GpuReading]) -> None:
        """Take one reading of each of its GPUs; the fullest one counts."""
        for uuid in self.gpus:
            if (reading := readings.get(uuid)) is not None:
                self._count(reading)

    def _count(self, reading: GpuReading) -> None:
        own = [one.used_bytes for one in reading.processes if self._is_ours(one.pid)]
        known = [used for used in own if used is not None]
        if known:
            if self.read_by == "device":
                self.peak = None
            self.peak, self.read_by = max(self.peak or 0, sum(known)), "process"
        elif self.alone and self.read_by != "process" and reading.used_bytes is not None:
            self.peak, self.read_by = max(self.peak or 0, reading.used_bytes), "device"

    def _is_ours(self, pid: int) -> bool:
        if pid not in self.family:
            self.family[pid] = descends(pid, self.pid)
        return self.family[pid]


@dataclass(frozen=True, slots=True)
class Peak:
    """The most memory that a side took of its fullest GPU.

    Attributes:
        bytes: how much; None if nothing could be read.
        read_by: whether the driver counted its processes, or the whole device; None if nothing could be read.
    """

    bytes: int | None
    read_by: Literal["process", "device"] | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look at a GPU showed besides memory."""

    at_s: float
    throttled: tuple[str, ...]
    strangers: tuple[str, ...]


class GpuWatch:
    """Watches the GPUs of servers from a thread of its own; a context manager starts and ends it."""

    def __init__(self, reader: GpuReader, *, every_s: float = LOOK_EVERY_S) -> None:
        self._reader = reader
        self._every_s = every_s
        self._now: list[_Watched] = []
        self._all: dict[str, list[_Watched]] = {}
        self._seen: dict[str, deque[_Seen]] = {}
        self._ours: dict[int, bool] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()

    @contextmanager
    def running(self) -> Iterator["GpuWatch"]:
        """Watch for the time of the context."""
        with in_background(self._run, self._end, "gpu-watch"):
            yield self

    @contextmanager
    def side(self, name: str, gpus: Sequence[str], pid: int, *, alone: bool) -> Iterator[None]:
        """Watch a server for the time of the context.

        Args:
            name: its side.
            gpus: UUIDs of its GPUs; if there are none, nothing is watched.
            pid: its process; what that one started counts as well.
            alone: whether no other side is on these GPUs meanwhile.
        """
        one = _Watched(tuple(gpus), pid, alone)
        with self._lock:
            self._now.append(one)
            self._all.setdefault(name, []).append(one)
        try:
            yield
        finally:
            self._look()
            with self._lock:
                self._now.remove(one)

    def peaks(self) -> dict[str, Peak]:
        """Return the peak of every side that was watched on a GPU."""
        return {name: _most(watched) for name, watched in self._all.items() if watched[0].gpus}

    def throttled(self, name: str, begin_s: float, end_s: float) -> tuple[str, ...]:
        """Return why the clocks of a side's GPUs were lowered between two times of `perf_counter`."""
        seen = self._seen_between(name, begin_s, end_s)
        return tuple(sorted({reason for one in seen for reason in one.throttled}))

    def strangers(self, name: str, begin_s: float, end_s: float) -> tuple[str, ...]:
        """Return the processes that are not ours and computed on a side's GPUs between two such times."""
        seen = self._seen_between(name, begin_s, end_s)
        return tuple(sorted({stranger for one in seen for stranger in one.strangers}))

    def strangers_now(self) -> tuple[str, ...]:
        """Return the processes that are not ours and compute on the GPUs of sides that are up."""
        self._look()
        with self._lock:
            last = [self._seen[uuid][-1] for one in self._now for uuid in one.gpus if uuid in self._seen]
        return tuple(sorted({stranger for one in last for stranger in one.strangers}))

    def _seen_between(self, name: str, begin_s: float, end_s: float) -> list[_Seen]:
        watched = self._all.get(name)
        if not watched or not watched[-1].gpus:
            return []
        if not self._looked_between(watched[-1].gpus, begin_s, end_s):
            self._look()
            end_s = perf_counter()
        with self._lock:
            return [
                one
                for uuid in watched[-1].gpus
                for one in self._seen.get(uuid, ())
                if begin_s <= one.at_s <= end_s
            ]

    def _looked_between(self, gpus: Sequence[str], begin_s: float, end_s: float) -> bool:
        with self._lock:
            return all(any(begin_s <= one.at_s <= end_s for one in self._seen.get(uuid, ())) for uuid in gpus)

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        with self._lock:
            now = list(self._now)
        uuids = {uuid for one in now for uuid in one.gpus}
        readings = {uuid: reading for uuid in uuids if (reading := self._reader.read(uuid)) is not None}
        at_s = perf_counter()
        with self._lock:
            for uuid, reading in readings.items():
                seen = _Seen(at_s, reading.throttled, self._strangers_in(reading))
                self._seen.setdefault(uuid, deque(maxlen=KEPT_LOOKS)).append(seen)
            for one in now:
                one.look(readings)

    def _strangers_in(self, reading: GpuReading) -> tuple[str, ...]:
        return tuple(str(one) for one in reading.processes if one.name and not self._is_ours(one.pid))

    def _is_ours(self, pid: int) -> bool:
        if pid not in self._ours:
            self._ours[pid] = descends(pid, os.getpid())
        return self._ours[pid]


def _most(watched: Sequence[_Watched]) -> Peak:
    known = [one for one in watched if one.peak is not None]
    if not known:
        return Peak(None, None)
    most = max(known, key=lambda one: one.peak or 0)
    return Peak(most.peak, most.read_by)
