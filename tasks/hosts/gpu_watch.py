"""What is seen of the GPUs while sides serve: peak memory by side, and lowered clocks.

Invariants:
- Memory counts by process if the driver names the side's processes; otherwise by device, if no other side is
  on it; otherwise it is absent.
- A reading per second: the thread must not disturb what is timed in the same process.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

from artifacts.hosts import GpuReader, GpuReading
from artifacts.processes import descends

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


class GpuWatch:
    """Watches the GPUs of servers from a thread of its own; a context manager starts and ends it."""

    def __init__(self, reader: GpuReader, *, every_s: float = LOOK_EVERY_S) -> None:
        self._reader = reader
        self._every_s = every_s
        self._now: list[_Watched] = []
        self._all: dict[str, list[_Watched]] = {}
        self._throttled: dict[str, deque[tuple[float, tuple[str, ...]]]] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()

    @contextmanager
    def running(self) -> Iterator["GpuWatch"]:
        """Watch for the time of the context."""
        thread = threading.Thread(target=self._run, name="gpu-watch", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()

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
        watched = self._all.get(name)
        if not watched or not watched[-1].gpus:
            return ()
        if not self._looked_between(watched[-1].gpus, begin_s, end_s):
            self._look()
            end_s = perf_counter()
        with self._lock:
            found = {
                reason
                for uuid in watched[-1].gpus
                for at_s, reasons in self._throttled.get(uuid, ())
                if begin_s <= at_s <= end_s
                for reason in reasons
            }
        return tuple(sorted(found))

    def _looked_between(self, gpus: Sequence[str], begin_s: float, end_s: float) -> bool:
        with self._lock:
            return all(
                any(begin_s <= at_s <= end_s for at_s, _ in self._throttled.get(uuid, ())) for uuid in gpus
            )

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
                self._throttled.setdefault(uuid, deque(maxlen=KEPT_LOOKS)).append((at_s, reading.throttled))
            for one in now:
                one.look(readings)


def _most(watched: Sequence[_Watched]) -> Peak:
    known = [one for one in watched if one.peak is not None]
    if not known:
        return Peak(None, None)
    most = max(known, key=lambda one: one.peak or 0)
    return Peak(most.peak, most.read_by)
