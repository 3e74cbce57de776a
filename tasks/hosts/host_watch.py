"""Whether others compute on this host while its sides are measured: during rounds, and before the first one.

Invariants:
- While a round is timed, nothing is read: its foreign load is the difference between a reading before its
  first request and one after its last token. A thread that read meanwhile would hold up the client, which
  takes its time stamps in the same process; and what moves a ratio is the load of the whole round.
- Between rounds, and while servers start and answer for accuracy, a thread reads once a second. So a host
  that was quiet all along is known to be quiet when the first round is due, and no time is lost.
- If nobody can say whose time it was (servers of a container), load is absent, not zero, and nothing waits.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from artifacts.progress import Say
from artifacts.settings import QuietHost
from tasks.errors import HostBusy
from tasks.hosts.background import in_background
from tasks.hosts.cpu_readings import CpuReader, CpuReading
from tasks.hosts.foreign_load import ForeignLoad, foreign_load

LOOK_EVERY_S = 1.0
# The kernel counts in ticks of 10 ms, and every process rounds by itself: over less than this, a share of two
# cores would be off by more than 2 %.
LEAST_SPAN_S = 0.5


@dataclass(frozen=True, slots=True)
class QuietRule:
    """When a host is quiet enough to begin.

    In 33 measurements of the demo on a host of 2 cores, others used at most .10 cores (5 %) in those whose
    ratios agreed, and at least .40 cores (20 %) in those that were off: the share to begin with is at the
    upper end of the quiet ones. That at which a pair is made again (`tasks.judging.conditions`) is between.

    Attributes:
        share: the largest share of the cores that others, or other machines by steal, may use.
        for_s: how many seconds in a row.
        limit_s: how long to wait for that. Most jobs of a system (cron, indexing, updates) end by then.
    """

    share: float = 0.05
    for_s: float = 10.0
    limit_s: float = 180.0


QUIET = QuietRule()


def nobody() -> tuple[str, ...]:
    """Return no processes: nobody computes on a GPU."""
    return ()


class Unattributable:
    """Reads nothing: servers that run outside the processes of this host would be taken for others' load."""

    def read(self) -> CpuReading | None:
        """Return nothing."""
        return None


class HostWatch:
    """Watches what others use of the host, less what this process and its descendants use.

    The servers of all sides descend from this process, also those that are idle, and so does what the
    pipeline itself runs.

    Args:
        reader: reads the processors.
        required: whether the host has to be quiet, or its load is only recorded.
        rule: when a host is quiet.
        strangers: returns the foreign processes that computed on the GPUs lately.
        every_s: seconds between two readings of the thread.
    """

    def __init__(
        self,
        reader: CpuReader,
        required: QuietHost,
        *,
        rule: QuietRule = QUIET,
        strangers: Callable[[], Sequence[str]] = nobody,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.required = required
        self._reader = reader
        self._rule = rule
        self._strangers = strangers
        self._every_s = every_s
        self._readings: deque[CpuReading] = deque(maxlen=4 + round(2 * rule.for_s / every_s))
        self._timing = False
        self._lock = threading.Lock()
        self._end = threading.Event()

    @contextmanager
    def running(self) -> Iterator["HostWatch"]:
        """Watch for the time of the context."""
        self._look()
        with in_background(self._run, self._end, "host-watch"):
            yield self

    def begin_round(self) -> None:
        """Take the reading before a round, and none until it has ended."""
        self._timing = True
        self._look()

    def end_round(self, begin_s: float, idle: Collection[int] = ()) -> ForeignLoad | None:
        """Return what others used since a time of `perf_counter`; None if nobody can say.

        A round that is too short for the kernel's count is looked at together with the time before it. Then
        nothing is known of processes that are `idle`: they may have been asked in that time.

        Args:
            begin_s: when the round began.
            idle: processes of ours that are not asked in this round, with all of their descendants: what they
                use counts as others' load.
        """
        after = self._look()
        self._timing = False
        if after is None:
            return None
        is_short = begin_s > after.at_s - LEAST_SPAN_S
        before = self._before(after.at_s - LEAST_SPAN_S if is_short else begin_s)
        return foreign_load(before, after, {os.getpid()}, () if is_short else idle)

    def await_quiet(self, say: Say) -> None:
        """Return when the host has been quiet for long enough; at once if it need not be, or nobody can say.

        Raises:
            HostBusy: it was not within the limit; the message names the processes that used most.
        """
        if self.required == "record" or self._look() is None:
            return
        deadline, said = time.monotonic() + self._rule.limit_s, False
        while busy := self._not_quiet():
            if busy.text and not said:
                limit = f"up to {self._rule.limit_s:g} s"
                say(f"waiting {limit} for a quiet host: others {busy.text}{_named(busy.who)}")
                said = True
            if time.monotonic() >= deadline:
                why = f"they {busy.text}" if busy.text else "it was watched for too short a time"
                raise HostBusy(
                    f"others kept this host busy for {self._rule.limit_s:g} s: {why}",
                    where="; ".join(busy.who) or "by no process that is visible from here",
                    fix="end these processes or wait until they end, and run the command again; or set "
                    "ENGINERY_QUIET_HOST=record to measure nevertheless",
                )
            time.sleep(self._every_s)
            self._look()

    def _not_quiet(self) -> "_Busy | None":
        """Return why the host is not quiet; None if it has been for long enough."""
        if strangers := tuple(self._strangers()):
            return _Busy("compute on its GPUs", strangers)
        with self._lock:
            last, first = self._readings[-1], self._readings[0]
        begin_s = last.at_s - self._rule.for_s
        before = self._before(begin_s)
        load = foreign_load(before, last, {os.getpid()})
        if load is not None and max(load.share, load.steal) > self._rule.share:
            return _Busy(_shares(load, before, last, self._rule), load.busiest)
        # Not watched for long enough: nothing speaks against it so far.
        return _Busy("", ()) if first.at_s > begin_s else None

    def _before(self, at_s: float) -> CpuReading:
        """Return the newest reading that is no younger than this, or the oldest one."""
        with self._lock:
            return next((one for one in reversed(self._readings) if one.at_s <= at_s), self._readings[0])

    def _look(self) -> CpuReading | None:
        with self._lock:
            found = self._reader.read()
            if found is not None:
                self._readings.append(found)
            return found

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            if not self._timing:
                self._look()


@dataclass(frozen=True, slots=True)
class _Busy:
    """What others do on a host that is not quiet, without a subject, and who they are."""

    text: str
    who: tuple[str, ...]


def _shares(load: ForeignLoad, before: CpuReading, after: CpuReading, rule: QuietRule) -> str:
    steal = f", and other machines {load.steal:.0%} of their time" if load.steal > rule.share else ""
    return (
        f"used {load.share:.1%} of its {after.cores:g} cores{steal} in the last "
        f"{after.at_s - before.at_s:.1f} s ({rule.share:.0%} is allowed)"
    )


def _named(who: Sequence[str]) -> str:
    return f"; {', '.join(who)}" if who else ""
