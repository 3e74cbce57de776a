"""What the report says of others on the host: each pair that was made again is counted once."""

import pytest
from support.judging.judgements import accuracy_result, measured, protocol

from tasks.judging import SpeedResult
from tasks.judging.gates import Evidence
from tasks.judging.gates.rounds.speed import SpeedGate
from tasks.judging.report.host_load import host_sentence
from tasks.judging.results import BlockCost

COST = BlockCost(side="engine", ready_s=9.0, spent_s=30.0, rounds=3, throttled=())


def made_again(in_all: dict[int, int], *, blocks: tuple[BlockCost, ...] = (), rounds: int = 1) -> SpeedResult:
    """Points at 1 and at 2 in flight, with 4 and 48 pairs, of which so many were made again."""
    speed = measured("0" * 64, [0.0] * 40, ratio=1.4).speed
    assert isinstance(speed, SpeedResult)
    points = tuple(
        one.model_copy(
            update={
                "made_again": in_all[one.concurrency],
                "rounds": tuple(round_ for round_ in one.rounds for _ in range(rounds)),
            }
        )
        for one in speed.points
    )
    return speed.model_copy(update={"points": points, "blocks": blocks})


def test_what_was_made_again_is_held_against_all_cycles_and_not_those_of_one_reference() -> None:
    """A reference that was beaten at once has fewer pairs than there were cycles."""
    speed = made_again({1: 0, 2: 12})
    others = (speed.at_operating_point,)
    few = speed.at_operating_point.model_copy(update={"rounds": speed.at_operating_point.rounds[:16]})
    points = tuple(few if one.concurrency == 2 else one for one in speed.points)
    speed = speed.model_copy(update={"points": points, "others": others})
    assert "12 of 52 pairs were made again" in host_sentence(speed)
    asked = protocol()
    reason = SpeedGate().judge(Evidence(asked, accuracy_result("0" * 64, [0.0] * 40), speed)).reason
    assert "12 of 48 pairs were made again" in reason


@pytest.mark.parametrize(
    ("speed", "said"),
    [
        (made_again({1: 1, 2: 2}), "3 of 52 pairs were made again"),
        (made_again({1: 2, 2: 2}, blocks=(COST,), rounds=3), "2 of 48 pairs were made again"),
    ],
    ids=["rounds", "blocks hold the rounds of all points"],
)
def test_pairs_that_were_made_again_are_counted_once(speed: SpeedResult, said: str) -> None:
    assert said in host_sentence(speed)
