"""What must not be found: a side against itself, and an engine next to somebody who computes.

A burner belongs to nobody here: its parent has ended, so its time is foreign load (`tasks.hosts`).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from artifacts.progress import Say
from artifacts.settings import QuietHost
from tasks.errors import HostBusy
from tasks.hosts import HostWatch, ProcReader, QuietRule
from tasks.judging import Interval, JudgingProtocol, NotMeasured, Placement, Side, Subject, Unobserved
from tasks.judging.gates import Terms
from tasks.judging.judge import judge_engine, measure_engine
from tasks.judging.measure import measure_speed
from tasks.judging.statistics import point_ratio
from tasks.selftest.trial import Questions

BURN = "while True: pass"
SHELL_LIMIT_S = 30
SUBJECT = Subject(
    spec="selftest", variant="", model="", target="", kind="", quantization="none", environment={}
)
# Shorter than for real measurements, whose others may end within minutes; a burner never ends.
IMPATIENT = QuietRule(limit_s=30.0)


def ratio_to_itself(
    placement: Placement, pair: tuple[Side, Side], protocol: JudgingProtocol, *, say: Say
) -> Interval:
    """Return the interval of the ratio of a server to itself.

    Args:
        placement: has the server under two names, and the protocol's reference.
        pair: the two names; the first is measured as the engine is.
        protocol: says what to ask, and how often.
        say: takes lines of progress.

    Raises:
        tasks.errors.HostBusy: the observer requires a quiet host, and it was not.
    """
    speed = measure_speed(placement, pair[0], [pair[1]], protocol, text=None, say=say)
    if isinstance(speed, NotMeasured):
        raise HostBusy(speed.reason)
    return point_ratio(speed.at_operating_point, protocol.speed).interval


def verdict_next_to_a_burner(
    placement: Placement,
    texts: Sequence[str],
    protocol: JudgingProtocol,
    terms: Terms,
    *,
    questions: Questions,
    say: Say,
) -> tuple[str, bool]:
    """Return the row of the verdict on an engine while a process keeps a core busy, and whether it is named.

    The placement's observer must require a quiet host (`requiring_quiet`).
    """
    with burning_core() as pid:
        measured = measure_engine(placement, texts, protocol, say=say, kept=questions)
    verdict = judge_engine(measured, protocol, terms, SUBJECT).verdict
    return verdict.row, any(f"process {pid} " in reason for reason in verdict.reasons)


class RequiringQuiet(Unobserved):
    """Waits for a quiet host before the first round, for a short time."""

    quiet_host: QuietHost = "require"

    def __init__(self, host: HostWatch) -> None:
        self._host = host

    def await_quiet(self, say: Say) -> None:
        """Return when the host is quiet; raise HostBusy if it does not become so."""
        self._host.await_quiet(say)


@contextmanager
def requiring_quiet() -> Iterator[RequiringQuiet]:
    """Watch the host for the time of the context."""
    with HostWatch(ProcReader(), "require", rule=IMPATIENT).running() as host:
        yield RequiringQuiet(host)


@contextmanager
def burning_core() -> Iterator[int]:
    """Keep a core busy for the time of the context, by a process that is no descendant; yield its id."""
    shell = f'"{sys.executable}" -c "{BURN}" > /dev/null 2>&1 & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", shell], capture_output=True, text=True, check=True, timeout=SHELL_LIMIT_S
    )
    pid = int(started.stdout)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def holds_one(interval: Interval) -> bool:
    """Whether an interval holds the ratio of a server to itself."""
    return interval.lower <= 1 <= interval.upper
