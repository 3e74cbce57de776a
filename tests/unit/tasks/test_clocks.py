"""What is timed is timed by a clock that nobody sets: steps of the wall clock change no result."""

import ast
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from support.judging.fake_completions import Behaviour, fake_server
from support.judging.judgements import endpoint, protocol, resident
from support.judging.measured_fakes import ignore
from support.paths import ROOT

from tasks.judging import SpeedResult
from tasks.judging.measure import measure_speed

# Whatever times a side, waits for one, or reads what others used meanwhile. The AOT worker measures itself.
TIMED = (
    "tasks/judging/measure",
    "tasks/judging/statistics",
    "tasks/judging/gates",
    "tasks/comparison",
    "tasks/hosts",
    "tasks/toolchains/run",
    "tasks/workers/aot",
    "tasks/workers/vllm",
)
WALL_CLOCK = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}


def wall_clock_in(source: str) -> Iterator[str]:
    """Yield every reading of the wall clock, and every import of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = (
                node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            )
            if (owner, node.attr) in WALL_CLOCK:
                yield f"line {node.lineno}: {owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            named = {one.name for one in node.names} & {"time", "time_ns"}
            yield from (f"line {node.lineno}: from time import {name}" for name in sorted(named))


@pytest.mark.parametrize("folder", TIMED)
def test_no_module_that_times_reads_the_wall_clock(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert len(modules) > 1
    found = {
        str(path.relative_to(ROOT)): readings
        for path in modules
        if (readings := list(wall_clock_in(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import time",
        "from time import time_ns as now",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.utcnow()",
    ],
)
def test_readings_of_the_wall_clock_are_found(source: str) -> None:
    assert list(wall_clock_in(source))
    assert list(wall_clock_in("from time import monotonic, perf_counter\nmonotonic()")) == []


def test_a_clock_that_jumps_during_rounds_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = count()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600.0 * (-1) ** next(jumps) * (next(jumps) % 7))
    asked = protocol(resolution=500.0)
    begin = time.perf_counter()
    with fake_server(Behaviour()) as engine, fake_server(Behaviour()) as vllm:
        placement = resident([endpoint("engine", engine.base_url), endpoint("vllm", vllm.base_url)])
        made = measure_speed(placement, asked.engine, asked.references, asked, text=None, say=ignore)
    took_s = time.perf_counter() - begin
    assert isinstance(made, SpeedResult)
    rounds = [one for point in made.points for one in point.rounds]
    assert sum(one.wall_s for one in rounds) <= took_s
    assert all(0 <= one.started_s <= took_s for one in rounds)
    assert all(0 < record.e2e_ms <= 1000 * took_s for one in rounds for record in one.requests)


def test_the_folders_that_time_exist() -> None:
    assert [folder for folder in TIMED if not Path(ROOT / folder).is_dir()] == []
