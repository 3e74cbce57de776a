"""The three placements with real servers: equal sides are found equal, and a planted slowdown is found."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.judging.comparisons import HERE, asked, measure, open_pipeline, served
from support.judging.judgements import SUBJECT, terms

from tasks.comparison import placements, serve
from tasks.comparison.serve import Running
from tasks.errors import GpuNotReleased, ServerNotReady
from tasks.judging import JudgingProtocol, Measured, PlacementChoice, Side, SpeedPlan, SpeedResult
from tasks.judging.judge import judge_engine
from tasks.judging.measure import IdleChecks, check_idle_sides
from tasks.judging.results import Interval
from tasks.judging.statistics import point_ratio
from tasks.runs import KeptPhases, Pipeline
from tasks.toolchains.launcher import DirectLauncher

PLACEMENTS = ("together", "shared", "in-turn")
# Next to which it does not matter how late a busy host wakes a server up.
LONG_WAIT_S = 0.03
# The same if the verdict has to be clear, and not just the estimate.
LONGER_WAIT_S = 0.04
SLOWDOWN = 1.2
# Between equal speed and what was planted.
FOUND = 0.92
# How far ratios of different placements may be apart, while other tests keep the processors busy.
ALIKE = 1.15


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def pipeline(tmp_path: Path, lines: list[str]) -> Pipeline:
    return open_pipeline(tmp_path, lines.append)


def ratio_of(made: Measured, plan: SpeedPlan) -> Interval:
    assert isinstance(made.speed, SpeedResult)
    return point_ratio(made.speed.at_operating_point, plan).interval


def test_a_planted_slowdown_is_found_in_each_placement_and_is_the_same(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    engine = served(pipeline.store, tmp_path, "engine", per_token_s=LONGER_WAIT_S * SLOWDOWN)
    reference = served(pipeline.store, tmp_path, "vllm", per_token_s=LONGER_WAIT_S)
    # A busy host may need so long, and rounds as fine; a quiet one ends once the ratio is clear of the bar.
    protocol = asked(engine, reference, budget_minutes=2.0, resolution=0.05)
    made = {name: measure(pipeline, protocol, name) for name in PLACEMENTS}
    for name, measured in made.items():
        assert measured.conditions.placement.name == name
        result = judge_engine(measured, protocol, terms(), SUBJECT)
        assert result.verdict.row == "not-faster", result.verdict.reasons
        assert ratio_of(measured, protocol.speed).estimate < FOUND
    estimates = [ratio_of(measured, protocol.speed).estimate for measured in made.values()]
    assert max(estimates) / min(estimates) < ALIKE
    assert len({measured.accuracy.model_dump_json() for measured in made.values()}) == 1


def test_a_side_measured_against_itself_together_is_as_fast(pipeline: Pipeline, tmp_path: Path) -> None:
    made, plan = measured_against_itself(pipeline, tmp_path, "together")
    assert holds_one(made, plan)
    assert [one.side for one in made.conditions.starts] == ["engine", "vllm"]


def test_a_side_measured_against_itself_on_the_same_devices_is_as_fast(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    made, plan = measured_against_itself(pipeline, tmp_path, "shared")
    assert holds_one(made, plan)
    assert made.conditions.placement.name == "shared"
    assert [one.side for one in made.conditions.idle] == ["engine", "vllm"]
    assert [one.side for one in made.conditions.starts] == ["engine", "vllm"]


def test_a_side_measured_against_itself_in_turn_is_as_fast_and_never_up_next_to_the_other(
    pipeline: Pipeline, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    up: list[str] = []
    started = placements.Bench.start

    @contextmanager
    def start(bench: placements.Bench, side: Side) -> Iterator[Running]:
        assert up == []
        with started(bench, side) as running:
            up.append(side.name)
            yield running
        up.clear()

    monkeypatch.setattr(placements.Bench, "start", start)
    made, plan = measured_against_itself(pipeline, tmp_path, "in-turn")
    assert holds_one(made, plan)
    assert isinstance(made.speed, SpeedResult)
    blocks = [one.side for one in made.speed.blocks]
    assert {frozenset(pair) for pair in zip(blocks[::2], blocks[1::2], strict=True)} == {
        frozenset({"engine", "vllm"})
    }
    starts = ["vllm", "engine", "vllm", *blocks, "vllm"]
    assert [one.side for one in made.conditions.starts] == starts, "the last one reads the timed answers"
    assert all(one.spent_s > one.ready_s > 0 for one in made.speed.blocks)
    assert sum(line.startswith("block ") for line in lines) == len(blocks)
    assert made.conditions.memory == (), "nothing computes on a GPU"


def measured_against_itself(
    pipeline: Pipeline, root: Path, placement: str
) -> tuple[Measured, JudgingProtocol]:
    protocol = asked(*(served(pipeline.store, root, name) for name in ("engine", "vllm")))
    return measure(pipeline, protocol, placement), protocol


def holds_one(made: Measured, protocol: JudgingProtocol) -> bool:
    """Whether equal sides may be equal: with bounds that one run of the tests in a thousand breaks."""
    gate = protocol.speed.gate.model_copy(update={"confidence": 0.9995})
    ratio = ratio_of(made, protocol.speed.model_copy(update={"gate": gate}))
    return ratio.lower <= 1 <= ratio.upper


def test_sides_whose_idle_neighbour_costs_something_are_measured_in_turn(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    neighbour = str(tmp_path / "neighbour.pid")
    engine = served(pipeline.store, tmp_path, "engine", "--disturbed-by", neighbour)
    vllm = served(pipeline.store, tmp_path, "vllm", "--disturbs", neighbour)
    kept = KeptPhases(tmp_path / "kept", say=pipeline.say)
    made = measure(pipeline, asked(engine, vllm, first_pairs=3, first_block_pairs=3), "shared", kept)
    conditions = made.conditions
    assert conditions.placement.name == "in-turn"
    assert re.match(
        r"sides cannot share devices: next to idle sides, engine is 0\.\d+ \[.*\] times as fast as alone",
        conditions.placement.reason,
    )
    assert [(one.side, one.costs_nothing) for one in conditions.idle] == [("engine", False), ("vllm", True)]
    assert isinstance(made.speed, SpeedResult)
    assert made.speed.blocks
    (found,) = kept.appended("idle", IdleChecks)
    assert found.checks == conditions.idle, "a run that is ended does not have to find out again"


def test_a_reference_that_its_idle_neighbour_slows_down_keeps_sides_from_sharing(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    neighbour = str(tmp_path / "neighbour.pid")
    engine = served(pipeline.store, tmp_path, "engine")
    vllm = served(pipeline.store, tmp_path, "vllm", "--disturbs", neighbour)
    tuned = served(pipeline.store, tmp_path, "vllm-tuned", "--disturbed-by", neighbour)
    asks = asked(engine, vllm, tuned)
    choice = PlacementChoice(name="shared", reason="a test says so")
    with placements.resident_sides(pipeline, (engine, vllm, tuned), "test", choice, None) as placement:
        idle = check_idle_sides(placement, placement.alone, asks, say=pipeline.say)
    found = [(one.side, one.costs_nothing) for one in idle.checks]
    assert found == [("engine", True), ("vllm", True), ("vllm-tuned", False)]
    assert "vllm-tuned" in idle.obstacle, "it may be the reference whose speed decides"


class ElsewhereLauncher(DirectLauncher):
    """Starts programs that signals do not reach, as in a container."""

    @property
    def plain(self) -> bool:
        return False


def test_sides_that_no_signal_suspends_are_measured_in_turn(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = HERE.model_copy(update={"launcher": ElsewhereLauncher()})
    monkeypatch.setattr(serve, "ensure", lambda *_args, **_switches: elsewhere)
    sides = [served(pipeline.store, tmp_path, name) for name in ("engine", "vllm")]
    made = measure(pipeline, asked(*sides, first_pairs=3, first_block_pairs=3), "shared")
    assert made.conditions.placement.name == "in-turn"
    why = "engine and vllm cannot be suspended, to show that idle sides cost nothing"
    assert made.conditions.placement.reason == f"sides cannot share devices: {why}"
    assert isinstance(made.speed, SpeedResult)
    assert {one.load for one in made.speed.at_operating_point.rounds} == {None}, "nobody can say whose it was"


def test_sides_that_run_out_of_memory_next_to_each_other_are_measured_in_turn(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    first = str(tmp_path / "first.pid")
    engine = served(pipeline.store, tmp_path, "engine", "--disturbs", first)
    vllm = served(pipeline.store, tmp_path, "vllm", "--needs-alone", first)
    made = measure(pipeline, asked(engine, vllm, first_pairs=3, first_block_pairs=3), "shared")
    assert made.conditions.placement.name == "in-turn"
    assert "a side ran out of memory next to the others" in made.conditions.placement.reason
    assert isinstance(made.speed, SpeedResult)


def test_memory_that_is_not_released_ends_the_measurement_with_who_holds_it(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(*_: object) -> None:
        raise GpuNotReleased("still in use", where="GPU 0: 12.0 GB held by process 7", fix="end it")

    sides = [served(pipeline.store, tmp_path, name) for name in ("engine", "vllm")]
    monkeypatch.setattr(placements, "await_released", held)
    with pytest.raises(GpuNotReleased, match="process 7"):
        measure(pipeline, asked(*sides), "in-turn")


def test_a_side_that_does_not_start_in_turn_ends_the_measurement(pipeline: Pipeline, tmp_path: Path) -> None:
    vllm = served(pipeline.store, tmp_path, "vllm")
    broken = served(pipeline.store, tmp_path, "engine", "--no-such-option")
    with pytest.raises(ServerNotReady, match="ended before it was ready"):
        measure(pipeline, asked(broken, vllm), "in-turn")
