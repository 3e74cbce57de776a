"""Cycles over HTTP: several sides in one session, resident or one at a time, each with its own toolchain."""

from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path

import pytest
from support.judging.comparisons import HERE, asked, open_pipeline, served
from support.judging.measured_fakes import TEXTS

from tasks.comparison import resident_sides, sides_in_turn
from tasks.judging import Placement, PlacementChoice, Side
from tasks.runs import KeptPhases, Pipeline
from tasks.stages.rehearsal import cycles, measure_cycles
from tasks.stages.rehearsal.records import ratios_of

SLOW, FAST = "reference", "engine"


def placed(pipeline: Pipeline, sides: list[Side], name: str) -> AbstractContextManager[Placement]:
    choice = PlacementChoice.model_validate({"name": name, "reason": "a test says so"})
    served_with = {side.name: HERE for side in sides}
    if name == "together":
        return resident_sides(pipeline, sides, "test", choice, served_with=served_with)
    kept = KeptPhases.of(pipeline.settings, "a" * 64, say=pipeline.say, force=True)
    return sides_in_turn(pipeline, sides, "test", choice, kept, served_with=served_with)


@pytest.mark.parametrize(
    ("placement", "names"), [("together", (SLOW, "again", FAST)), ("in-turn", (SLOW, FAST))]
)
def test_every_cycle_asks_every_side_and_finds_the_faster_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placement: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(cycles, "LEAST_CYCLES", 2)
    pipeline = open_pipeline(tmp_path, lambda _: None)
    waits = {name: 0.01 if name == FAST else 0.04 for name in names}
    sides = [served(pipeline.store, tmp_path, name, per_token_s=wait) for name, wait in waits.items()]
    protocol = asked(sides[-1], *sides[:-1], budget_minutes=0.0001)
    with placed(pipeline, sides, placement) as placement_of_all:
        made = measure_cycles(placement_of_all, sides, sides[0], TEXTS, protocol, say=pipeline.say)

    assert made.cycles == 2
    blocks = [
        (block, {one.side for one in own}) for block, own in groupby(made.rounds, lambda one: one.block)
    ]
    assert [block for block, _ in blocks] == list(range(2 * len(sides)))
    for cycle in (blocks[: len(sides)], blocks[len(sides) :]):
        assert set[str]().union(*(asked_sides for _, asked_sides in cycle)) == set(names)
    assert len({one.prompts_sha256 for one in made.rounds}) == len(made.rounds)
    (found,) = ratios_of([(FAST, SLOW)], made.rounds, protocol.speed)
    assert found.ratio.estimate > 1.5
