"""The speed gate: what it says about timed rounds, in every way in which measuring them can end."""

import math
from typing import Any

import pytest
from support.judging.judgements import protocol, speed_point

from tasks.judging import SpeedPlan, SpeedPoint
from tasks.judging.gates.rounds.speed import judge_speed
from tasks.judging.measure.summaries import MeasuredRound, summarize


def plan(**changes: Any) -> SpeedPlan:
    """The defaults of a spec: bar 1.1, resolution 5 %."""
    return protocol(**({"first_pairs": 8, "budget_minutes": 1000.0} | changes)).speed


def started_often() -> SpeedPlan:
    """The same if starts decide nothing."""
    return plan().model_copy(update={"start_spread": 0.0})


def near_the_bar(**changes: Any) -> SpeedPoint:
    return speed_point(1.1, noise=0.05, pairs=16).model_copy(update=changes)


def with_goods(point: SpeedPoint, side: str, good: bool) -> SpeedPoint:
    """The point, if all requests of one side met the objective, or none did."""
    rounds = tuple(
        one.model_copy(update={"requests": tuple(r.model_copy(update={"good": good}) for r in one.requests)})
        if one.side == side
        else one
        for one in point.rounds
    )
    engine, reference = (
        summarize([MeasuredRound(one, (5.0,)) for one in rounds if one.side == name])
        for name in ("engine", "vllm")
    )
    return point.model_copy(update={"rounds": rounds, "engine": engine, "reference": reference})


def test_a_clearly_faster_engine_is_faster() -> None:
    outcome = judge_speed(speed_point(1.5, noise=0.02, pairs=16, ended="clear"), plan())
    assert outcome.outcome == "faster"
    assert outcome.ratio.lower > 1.1


def test_a_slower_engine_is_not_faster_even_within_a_small_budget() -> None:
    assert judge_speed(speed_point(0.7, noise=0.05, pairs=8, ended="budget"), plan()).outcome == "not-faster"


def test_a_spent_budget_gives_noisy_and_says_how_many_pairs_would_do() -> None:
    outcome = judge_speed(near_the_bar(ended="budget", planned_pairs=48, stopped="48 pairs would do"), plan())
    assert (outcome.outcome, outcome.pairs, outcome.pairs_needed) == ("noisy", 16, 48)
    assert "48 pairs would do" in outcome.reason


def test_a_budget_that_can_settle_nothing_is_said() -> None:
    outcome = judge_speed(near_the_bar(ended="underpowered", stopped="too small"), plan())
    assert outcome.outcome == "underpowered"
    assert outcome.reason.endswith("too small.")


def test_at_the_declared_resolution_an_interval_that_straddles_the_bar_is_not_faster() -> None:
    outcome = judge_speed(near_the_bar(ended="resolved"), started_often())
    assert outcome.ratio.lower < 1.1 < outcome.ratio.upper
    assert outcome.outcome == "not-faster"
    assert "exceeds it by 5.0% would have been found" in outcome.reason


def test_what_one_start_decides_cannot_be_settled_by_more_rounds() -> None:
    outcome = judge_speed(near_the_bar(ended="resolved"), plan())
    assert outcome.outcome == "noisy"
    assert "each side was started once, and starts differ by about 4%" in outcome.reason
    assert "ENGINERY_PLACEMENT=in-turn" in outcome.reason


def test_two_starts_of_one_server_are_no_difference_however_many_rounds_say_so() -> None:
    """Seen on an H200: 1.043, after 256 pairs."""
    point = speed_point(1.043, noise=0.02, pairs=256)
    blind, seen = judge_speed(point, started_often()).ratio, judge_speed(point, plan()).ratio
    assert blind.lower > 1
    assert seen.lower < 1 < 1.04 < seen.upper


def test_who_shares_the_error_is_in_the_reason() -> None:
    point = near_the_bar(looks=3, error_share=0.16)
    outcome = judge_speed(point, plan(variants=8), attempt=2)
    assert "at 99.90% confidence (look 3, attempt 2, 8 variants of 95% in all)" in outcome.reason
    assert outcome.attempt == 2
    alone = judge_speed(point.model_copy(update={"looks": 1, "error_share": 1.0}), plan())
    assert "at 95.00% confidence above" in alone.reason


@pytest.mark.parametrize(("side", "verdict"), [("engine", "not-faster"), ("vllm", "faster")])
def test_the_metric_stays_the_same_if_a_side_has_no_good_request(side: str, verdict: str) -> None:
    """Its rounds count as half a good request each: one sixth of a round of three."""
    outcome = judge_speed(with_goods(speed_point(1.2, noise=0.01, pairs=48), side, good=False), plan())
    assert outcome.metric == "goodput_per_device"
    assert outcome.outcome == verdict
    expected = 1.2 / 6 if side == "engine" else 1.2 * 6
    assert outcome.ratio.estimate == pytest.approx(expected, rel=0.02)


def test_one_round_without_good_requests_widens_the_interval_and_changes_no_metric() -> None:
    point = speed_point(1.5, noise=0.02, pairs=16)
    first = point.rounds[0]
    missed = tuple(record.model_copy(update={"good": False}) for record in first.requests)
    rounds = (first.model_copy(update={"requests": missed}), *point.rounds[1:])
    outcome = judge_speed(point.model_copy(update={"rounds": rounds}), plan())
    before = judge_speed(point, plan()).ratio
    assert first.side == "vllm"
    assert outcome.metric == "goodput_per_device"
    assert outcome.ratio.upper - outcome.ratio.lower > 2 * (before.upper - before.lower)


def test_rounds_without_any_noise_still_have_an_interval() -> None:
    outcome = judge_speed(speed_point(1.12, noise=0.0, pairs=8), started_often())
    assert outcome.ratio.estimate == pytest.approx(1.12)
    assert outcome.ratio.lower < 1.0 < 1.2 < outcome.ratio.upper
    assert outcome.outcome == "not-faster"


def test_rounds_with_lowered_clocks_are_counted_in_the_reason() -> None:
    point = speed_point(1.8, noise=0.02, pairs=16)
    assert "clocks" not in judge_speed(point, plan()).reason
    hot = [
        one.model_copy(update={"throttled": ("power cap",)}) if one.index in (0, 1, 2) else one
        for one in point.rounds
    ]
    outcome = judge_speed(point.model_copy(update={"rounds": tuple(hot)}), plan())
    assert outcome.outcome == "faster"
    lowered = "2 of 16 rounds of engine and 1 of 16 rounds of vllm (power cap)"
    assert outcome.reason.endswith(f"The driver lowered the clocks during {lowered}.")


def test_blocks_of_rounds_count_once_each() -> None:
    """Three rounds of a start are one observation: their agreement says nothing about other starts."""
    point = speed_point(1.3, noise=0.1, pairs=12)
    rounds = sorted(point.rounds, key=lambda one: (one.index // 6, one.side))
    blocks = tuple(one.model_copy(update={"block": index // 3}) for index, one in enumerate(rounds))
    in_blocks = point.model_copy(update={"rounds": blocks})
    assert [(one.block, one.side) for one in blocks[:4]] == [(0, "engine")] * 3 + [(1, "vllm")]
    outcome = judge_speed(in_blocks, plan())
    assert outcome.pairs == 4
    assert "(4 pairs of blocks of 3 rounds, each after a start)" in outcome.reason
    assert math.isclose(outcome.ratio.estimate, judge_speed(point, plan()).ratio.estimate, rel_tol=0.01)
