"""The speed gate: `faster` at the bar in at most 1 - confidence of runs, whatever the noise; power;
budgets.
"""

import math
from functools import cache
from statistics import stdev

import numpy as np
import pytest
from support.judging.judgements import protocol, speed_point

from tasks.judging import SpeedPlan
from tasks.judging.gates.speed import SpeedOutcome, judge_log_ratios, judge_speed
from tasks.judging.measure.stages import plan_second_stage
from tasks.judging.statistics import ratio_bounds
from tasks.judging.statistics.ratio_bounds import student_quantile

RUNS = 1000
TOLERATED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


def plan(**changes: float) -> SpeedPlan:
    """The defaults of a spec: bar 1.1, resolution 5 %, six pairs first."""
    settings = {"first_stage_pairs": 6, "budget_minutes": 1000.0} | changes
    return protocol(**settings).speed


def judge_one_run(
    source: np.random.Generator, ratio: float, noise: float, plan: SpeedPlan, pair_s: float
) -> SpeedOutcome:
    """Both stages with normal log ratios, as `speed.measure_speed` makes them."""
    first = source.normal(math.log(ratio), noise, plan.first_stage_pairs).tolist()
    stage = plan_second_stage(first, plan, spent_s=pair_s * len(first))
    rest = source.normal(math.log(ratio), noise, stage.pairs - len(first)).tolist()
    return judge_log_ratios(
        first + rest,
        plan,
        metric_used="goodput_per_device",
        first_stage=plan.first_stage_pairs,
        needed=stage.needed,
    )


@pytest.fixture(autouse=True)
def quick_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """Student's quantile once per degree of freedom: thousands of runs ask for the same one."""
    monkeypatch.setattr(ratio_bounds, "student_quantile", cache(ratio_bounds.student_quantile))


@pytest.mark.parametrize("noise", [0.04, 0.08, 0.13])
@pytest.mark.parametrize("pair_s", [1.0, 3600.0], ids=["ample-budget", "tight-budget"])
def test_an_engine_at_the_bar_is_called_faster_in_at_most_five_percent_of_runs(
    noise: float, pair_s: float
) -> None:
    source = np.random.default_rng(21)
    outcomes = [judge_one_run(source, 1.1, noise, plan(), pair_s).outcome for _ in range(RUNS)]
    assert outcomes.count("faster") / RUNS <= TOLERATED


@pytest.mark.parametrize("noise", [0.04, 0.13])
def test_an_engine_well_beyond_the_bar_is_found_faster(noise: float) -> None:
    source = np.random.default_rng(22)
    outcomes = [judge_one_run(source, 1.1 * 1.12, noise, plan(), 1.0).outcome for _ in range(300)]
    assert outcomes.count("faster") / 300 >= 0.8


def test_the_interval_holds_the_true_ratio() -> None:
    source = np.random.default_rng(23)
    found = [judge_one_run(source, 1.3, 0.1, plan(), 1.0).ratio for _ in range(RUNS)]
    assert sum(interval.lower > 1.3 for interval in found) / RUNS <= TOLERATED
    assert sum(interval.upper < 1.3 for interval in found) / RUNS <= TOLERATED


def test_with_an_ample_budget_nothing_is_noisy() -> None:
    source = np.random.default_rng(24)
    outcomes = {judge_one_run(source, 1.1, 0.13, plan(), 1.0).outcome for _ in range(200)}
    assert "noisy" not in outcomes


def test_a_budget_that_ends_early_gives_noisy_and_says_how_many_pairs_would_do() -> None:
    point = speed_point(1.1, noise=0.13, pairs=6).model_copy(update={"planned_pairs": 48})
    outcome = judge_speed(point, plan())
    assert outcome.outcome == "noisy"
    assert outcome.pairs == 6
    assert outcome.pairs_needed == 48
    assert "48 pairs would be enough" in outcome.reason


def test_at_the_declared_resolution_an_interval_that_straddles_the_bar_is_not_faster() -> None:
    log_ratios = [math.log(1.12) + offset for offset in [-0.1, 0.1] * 10]
    outcome = judge_log_ratios(
        log_ratios, plan(), metric_used="goodput_per_device", first_stage=6, needed=len(log_ratios)
    )
    assert outcome.ratio.lower < 1.1 < outcome.ratio.upper
    assert outcome.outcome == "not-faster"
    assert "resolution" in outcome.reason


def test_a_slower_engine_is_not_faster_even_within_a_small_budget() -> None:
    point = speed_point(0.7, noise=0.05, pairs=6).model_copy(update={"planned_pairs": 40})
    assert judge_speed(point, plan()).outcome == "not-faster"


def test_the_second_stage_follows_the_noise_and_the_budget() -> None:
    calm, rough = [0.0, 0.01] * 3, [0.0, 0.3] * 3
    assert plan_second_stage(calm, plan(), spent_s=6).pairs == 6
    free = plan_second_stage(rough, plan(), spent_s=6)
    assert free.pairs == free.needed > 20
    assert free.pairs % 2 == 0
    cut = plan_second_stage(rough, plan(budget_minutes=0.2), spent_s=6)
    assert cut.pairs == 12
    assert cut.needed == free.needed
    assert "budget" in cut.reason


def test_the_ratio_never_changes_how_many_pairs_are_made() -> None:
    noise = [0.0, 0.1, 0.05, -0.05, 0.02, 0.01]
    shifted = [value + 0.4 for value in noise]
    assert plan_second_stage(noise, plan(), spent_s=6) == plan_second_stage(shifted, plan(), spent_s=6)


def test_a_round_without_good_requests_is_compared_by_throughput() -> None:
    point = speed_point(1.5, noise=0.02, pairs=6)
    first = point.rounds[0]
    missed = tuple(record.model_copy(update={"good": False}) for record in first.requests)
    point = point.model_copy(
        update={"rounds": (first.model_copy(update={"requests": missed}), *point.rounds[1:])}
    )
    outcome = judge_speed(point, plan())
    assert outcome.metric == "throughput_per_device"
    assert "Throughput per device" in outcome.reason


def test_rounds_with_lowered_clocks_are_counted_in_the_reason() -> None:
    point = speed_point(1.5, noise=0.02, pairs=6)
    assert "clocks" not in judge_speed(point, plan()).reason
    hot = [
        one.model_copy(update={"throttled": ("power cap",)}) if one.index in (0, 1, 2) else one
        for one in point.rounds
    ]
    outcome = judge_speed(point.model_copy(update={"rounds": tuple(hot)}), plan())
    assert outcome.outcome == "faster"
    assert outcome.reason.endswith(
        "The driver lowered the clocks during 2 of 6 rounds of engine and 1 of 6 rounds of vllm (power cap)."
    )


def test_blocks_of_rounds_count_once_each() -> None:
    """Three rounds of a start are one observation: their agreement says nothing about other starts."""
    point = speed_point(1.3, noise=0.1, pairs=12)
    rounds = sorted(point.rounds, key=lambda one: (one.index // 6, one.side))
    blocks = tuple(one.model_copy(update={"block": index // 3}) for index, one in enumerate(rounds))
    in_blocks = point.model_copy(update={"rounds": blocks, "first_stage_pairs": 4, "planned_pairs": 4})
    assert [(one.block, one.side) for one in blocks[:4]] == [(0, "engine")] * 3 + [(1, "vllm")]
    outcome = judge_speed(in_blocks, plan())
    assert (outcome.pairs, len(in_blocks.log_ratios("goodput_per_device")[1])) == (4, 4)
    assert "(4 pairs of blocks of 3 rounds, each after a start)" in outcome.reason
    assert outcome.ratio.estimate == pytest.approx(judge_speed(point, plan()).ratio.estimate)
    noise = stdev(in_blocks.log_ratios("goodput_per_device")[1]) / math.sqrt(4)
    assert math.log(outcome.ratio.upper / outcome.ratio.estimate) == pytest.approx(
        student_quantile(0.95, 3) * noise
    )
