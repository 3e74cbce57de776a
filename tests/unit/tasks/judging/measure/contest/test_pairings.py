"""The engine against each reference: who is asked, when it ends, and what is reported. No server is asked."""

import math
from collections.abc import Mapping
from random import Random

import pytest
from support.judging.judgements import planted_round, protocol
from support.judging.measured_fakes import ignore

from tasks.judging.gates.rounds.speed import judge_speed
from tasks.judging.measure.contest.order import in_order, order_of
from tasks.judging.measure.contest.pairings import Contest
from tasks.judging.measure.contest.stages import Spent
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.protocol import JudgingProtocol

NAMES = ("vllm", "vllm tuned", "vllm fp8")
ENGINE_RATE = 500.0


def asked(*, budget_minutes: float = 10_000.0, references: tuple[str, ...] = NAMES) -> JudgingProtocol:
    return protocol(references=references, budget_minutes=budget_minutes, first_pairs=8)


def held(
    asked: JudgingProtocol, ratios: Mapping[str, float], *, noise: float = 0.01, cycle_s: float = 10.0
) -> tuple[Contest, list[set[str]]]:
    """A contest in which the engine has these ratios to the references; and the sides of each cycle."""
    source = Random(f"{sorted(ratios.items())}/{noise}")
    contest = Contest(asked.references, asked, 1, asked.speed.first_pairs)
    every = (asked.engine, *asked.references)
    cycles: list[set[str]] = []
    while contest.going:
        while contest.cycles < contest.next_look:
            made = []
            for place, side in in_order(contest.sides, every, asked.seed, contest.cycles):
                rate = ENGINE_RATE / ratios.get(side.name, 1.0) * math.exp(source.gauss(0, noise))
                made.append(MeasuredRound(planted_round(side.name, place, 2, rate), gaps_ms=(5.0,)))
            cycles.append({one.result.side for one in made})
            contest.add(made)
        total_s = cycle_s * sum(map(len, cycles)) / len(every)
        spent = Spent(total_s, {one.name: cycle_s / len(every) for one in every})
        contest.look(spent, 60 * asked.speed.gate.budget_minutes)
    return contest, cycles


def test_a_reference_that_was_beaten_is_not_asked_again() -> None:
    one = asked()
    contest, cycles = held(one, {"vllm": 3.0, "vllm tuned": 1.25, "vllm fp8": 3.0})
    assert cycles[:8] == [{"engine", *NAMES}] * 8
    assert cycles[8:] == [{"engine", "vllm tuned"}] * (len(cycles) - 8)
    assert len(cycles) > 8
    strongest, point, others = contest.finish(0, ignore)
    assert strongest.name == "vllm tuned"
    assert len(point.rounds) == 2 * len(cycles)
    assert {other.reference.side for other in others} == {"vllm", "vllm fp8"}
    assert {len(other.rounds) for other in others} == {16}
    assert {judge_speed(found, one.speed).outcome for found in (point, *others)} == {"faster"}


def test_one_reference_that_is_not_beaten_ends_everything() -> None:
    one = asked()
    contest, cycles = held(one, {"vllm": 1.12, "vllm tuned": 0.3, "vllm fp8": 1.12})
    assert len(cycles) == 8
    strongest, point, others = contest.finish(0, ignore)
    assert strongest.name == "vllm tuned"
    assert judge_speed(point, one.speed).outcome == "not-faster"
    assert {other.stopped for other in others} == {"another reference decided"}
    assert {other.ended for other in others} == {"undecided"}


def test_the_ratio_that_is_shown_is_the_smallest_of_those_that_were_won() -> None:
    contest, _ = held(asked(), dict.fromkeys(NAMES, 2.0), noise=0.03)
    _, point, others = contest.finish(0, ignore)
    speed = asked().speed
    estimates = [judge_speed(one, speed).ratio.estimate for one in (point, *others)]
    assert estimates == sorted(estimates)
    assert estimates[0] < estimates[-1]


def test_a_reference_that_is_beaten_leaves_its_time_to_the_others() -> None:
    """A comparison that fits into the budget alone is not given up because others are still asked."""
    ratios = {"vllm": 3.0, "vllm tuned": 3.0, "vllm fp8": 1.25}
    # Eight cycles of four sides take 80 s; of two sides, 40 more cycles fit into 200 s.
    contest, cycles = held(asked(budget_minutes=280 / 60), ratios, noise=0.02)
    _, point, _ = contest.finish(0, ignore)
    assert len(cycles) > 8
    assert cycles[-1] == {"engine", "vllm fp8"}
    assert judge_speed(point, asked().speed).outcome == "faster"


def test_a_contest_without_a_look_has_no_result() -> None:
    with pytest.raises(LookupError, match="after its first look"):
        Contest(asked().references, asked(), 1, 8).finish(0, ignore)


@pytest.mark.parametrize("sides", [2, 3, 5])
def test_of_every_two_cycles_one_is_the_reverse_and_each_order_occurs(sides: int) -> None:
    orders = [order_of(3, cycle, sides) for cycle in range(40)]
    assert all(
        tuple(reversed(first)) == second for first, second in zip(orders[::2], orders[1::2], strict=True)
    )
    assert {order[0] for order in orders} == set(range(sides))


def test_the_order_of_those_that_are_left_does_not_depend_on_who_is() -> None:
    every = ("engine", "a", "b", "c")
    for cycle in range(20):
        whole = in_order(every, every, 7, cycle)
        part = in_order(("engine", "b"), every, 7, cycle)
        assert part == [one for one in whole if one[1] in ("engine", "b")]
