"""Somebody else's process next to a real measurement is noticed and named; what it disturbed is no result.

Tests run next to each other on few cores. So the processors are read as ever, but of others only the process
that a test has started counts.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.judging.comparisons import asked, measure, open_pipeline, served
from support.judging.judgements import SUBJECT, terms

from tasks.comparison import serve
from tasks.hosts import HostWatch, ProcReader
from tasks.hosts.cpu_readings import CpuReading
from tasks.hosts.foreign_load import families_in, family_time_s
from tasks.hosts.host_watch import QuietRule
from tasks.judging import JudgingProtocol, NotMeasured, SpeedResult
from tasks.judging.decide import is_conclusive
from tasks.judging.judge import judge_engine
from tasks.runs import Pipeline

BURN = "while True: pass"
SHORT = QuietRule(share=0.05, for_s=0.7, limit_s=2.0)
# A host so small that a burner which gets little of a busy core is still somebody.
CORES = 0.25
# Rounds that are long enough for the kernel to count what each process used.
PER_TOKEN_S = 0.15
SHORT_LOOKS: dict[str, float] = {"resolution": 500.0, "budget_minutes": 0.001, "first_pairs": 4}


class Burner:
    """A process that keeps a core busy and belongs to nobody here: its parent has ended."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.pids: set[int] = set()

    def start(self) -> None:
        shell = f'{sys.executable} -c "{BURN}" > /dev/null 2>&1 & echo $!'
        started = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True, timeout=60)
        self.pid = int(started.stdout)
        self.pids.add(self.pid)
        assert os.getpid() not in [one.pid for one in psutil.Process(self.pid).parents()]

    def end(self) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.pid = None


class OneStranger:
    """Reads the processors as if this process's family and a burner were alone on them."""

    def __init__(self, burner: Burner) -> None:
        self._reader = ProcReader()
        self._burner = burner
        self._last: CpuReading | None = None
        self._busy_s = 0.0

    def read(self) -> CpuReading | None:
        found = self._reader.read()
        assert found is not None, "this kernel counts the time of processors"
        processes = found.processes
        known = families_in(processes, {os.getpid()}) | (self._burner.pids & processes.keys())
        found = replace(found, cores=CORES, steal_s=0.0, processes={pid: processes[pid] for pid in known})
        if self._last is not None:
            before, after = self._last.processes, found.processes
            self._busy_s += family_time_s(before, after, before, after)
        self._last = found
        return replace(found, busy_s=self._busy_s)


@pytest.fixture
def burner() -> Iterator[Burner]:
    burner = Burner()
    yield burner
    burner.end()


@pytest.fixture
def pipeline(tmp_path: Path, burner: Burner, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Settings that require a quiet host, which becomes so sooner than elsewhere."""
    monkeypatch.setattr(serve, "ProcReader", lambda: OneStranger(burner))
    monkeypatch.setattr(serve, "HostWatch", partial(HostWatch, rule=SHORT, every_s=0.1))
    monkeypatch.setenv("ENGINERY_QUIET_HOST", "require")
    return open_pipeline(tmp_path, lambda _line: None, "require")


@pytest.fixture
def protocol(pipeline: Pipeline, tmp_path: Path) -> JudgingProtocol:
    engine, vllm = (served(pipeline.store, tmp_path, name) for name in ("engine", "vllm"))
    return asked(engine, vllm, resolution=500.0, budget_minutes=0.001, first_pairs=4)


def heard(pipeline: Pipeline, hear: Callable[[str], None]) -> Pipeline:
    return Pipeline(pipeline.settings, pipeline.store, say=hear)


def test_a_core_that_somebody_else_keeps_busy_is_named_and_nothing_is_measured_until_it_is_free(
    pipeline: Pipeline, protocol: JudgingProtocol, burner: Burner
) -> None:
    burner.start()
    made = measure(pipeline, protocol, "together")
    assert isinstance(made.speed, NotMeasured)
    assert re.search(rf"process {burner.pid} \(python[0-9.]*, \d\.\d\d cores\)", made.speed.reason)
    assert not is_conclusive(made, protocol)
    verdict = judge_engine(made, protocol, terms(), SUBJECT).verdict
    assert (verdict.verdict, verdict.row) == ("inconclusive", "host-busy")
    assert verdict.reasons[0].startswith("Host busy: others kept this host busy for 2 s: they used ")
    burner.end()
    made = measure(pipeline, protocol, "together")
    assert isinstance(made.speed, SpeedResult)
    assert made.speed.quiet_host == "require"
    loads = [one.load for point in made.speed.points for one in point.rounds]
    assert all(load is not None and not load.disturbs for load in loads)


def test_a_pair_next_to_which_somebody_began_to_compute_is_made_again(
    pipeline: Pipeline, protocol: JudgingProtocol, burner: Burner
) -> None:
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line.startswith("speed: engine against each of "):
            burner.start()
        if line.startswith("made again: "):
            burner.end()

    made = measure(heard(pipeline, hear), protocol, "together")
    assert isinstance(made.speed, SpeedResult)
    assert [point.made_again for point in made.speed.points] == [1]
    (said,) = (line for line in lines if line.startswith("made again: "))
    assert re.fullmatch(r"made again: others used \d+\.\d% of 0.25 cores; process \d+ \(python.*\)", said)
    reason = judge_engine(made, protocol, terms(), SUBJECT).outcomes.gates["speed"].reason
    assert "For others' load, 1 of 4 pairs were made again." in reason


def test_a_side_that_computes_while_another_is_asked_is_somebody_else(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """It would slow the others down, and would seem to be faster than it is."""
    engine = served(pipeline.store, tmp_path, "engine", "--spins", per_token_s=PER_TOKEN_S)
    vllm = served(pipeline.store, tmp_path, "vllm", per_token_s=PER_TOKEN_S)
    lines: list[str] = []
    made = measure(heard(pipeline, lines.append), asked(engine, vllm, **SHORT_LOOKS), "together")
    assert isinstance(made.speed, NotMeasured)
    assert made.speed.cause == "host-busy"
    assert re.search(r"others used \d+\.\d% of 0.25 cores; process \d+ \(python", made.speed.reason)
    assert is_conclusive(made, asked(engine, vllm)) is False
    quiet = served(pipeline.store, tmp_path, "quiet", per_token_s=PER_TOKEN_S)
    made = measure(
        pipeline, asked(quiet.model_copy(update={"name": "engine"}), vllm, **SHORT_LOOKS), "together"
    )
    assert isinstance(made.speed, SpeedResult), made.speed
