"""Intervals of the ratio of speeds, and the looks that share their error."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from support.judging.judgements import protocol, speed_point

from tasks.judging.results import RoundResult
from tasks.judging.statistics import (
    ENDED,
    Pairs,
    attempt_confidence,
    pairs_of,
    ratio_interval,
    take_look,
)
from tasks.judging.statistics.looks import early_confidence, last_confidence
from tasks.judging.statistics.ratio_bounds import (
    log_bounds,
    noise_of,
    pairs_needed,
    predicted_reach,
    student_quantile,
)

PLAN = protocol().speed


def pairs_from(log_ratios: list[float], rounds: int = 1, start_spread: float = 0.0) -> Pairs:
    """Pairs of an engine with these log ratios and a reference that always takes one second."""
    engine = np.exp(-np.array(log_ratios))
    seconds = np.stack([engine, np.ones_like(engine)], -1)
    return Pairs(-np.log(seconds), np.ones_like(seconds), seconds, rounds, start_spread)


def noisy(count: int, spread: float, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(0.3, spread, count).tolist()


def test_by_time_a_stall_counts_as_long_as_it_takes() -> None:
    steady, stalled = [0.0] * 20, [0.0] * 19 + [-math.log(20)]
    assert ratio_interval(pairs_from(steady), confidence=0.95).estimate == pytest.approx(1)
    stalls = pairs_from(stalled)
    assert math.exp(stalls.by_round().mean()) == pytest.approx(20 ** (-1 / 20))
    assert math.exp(stalls.by_time().mean()) == pytest.approx(20 / 39)
    assert ratio_interval(stalls, confidence=0.95).estimate == pytest.approx(20 / 39)


def test_drift_of_the_host_cancels_within_pairs_of_both_views() -> None:
    slower = np.linspace(1, 3, 16)[:, None]
    seconds = np.array([[1.0, 1.5]]) * slower
    pairs = Pairs(-np.log(seconds), np.ones_like(seconds), seconds, 1)
    assert pairs.by_round() == pytest.approx(math.log(1.5))
    assert pairs.by_time() == pytest.approx(math.log(1.5))


def test_without_noise_the_interval_allows_for_a_stall_that_was_not_seen() -> None:
    bounds = {n: ratio_interval(pairs_from([0.0] * n), confidence=0.95) for n in (8, 64)}
    assert bounds[8].lower < bounds[64].lower < 0.97
    assert bounds[64].upper > 1.03
    assert ratio_interval(pairs_from([0.0] * 8, rounds=6), confidence=0.95).lower > bounds[8].lower


def test_noise_that_lasts_is_wider_than_as_much_that_does_not() -> None:
    alternating, lasting = [0.1, -0.1] * 32, [0.1] * 32 + [-0.1] * 32
    found = [ratio_interval(pairs_from(values), confidence=0.95) for values in (alternating, lasting)]
    assert found[1].upper - found[1].lower > 1.5 * (found[0].upper - found[0].lower)


def test_leading_axes_are_runs() -> None:
    values = [noisy(24, 0.05, seed) for seed in (1, 2, 3)]
    alone = [log_bounds(pairs_from(one), 0.95) for one in values]
    each = [pairs_from(one) for one in values]
    stacked = Pairs(
        *(np.stack([getattr(one, name) for one in each]) for name in ("log_rates", "tokens", "seconds")), 1
    )
    together = log_bounds(stacked, 0.95)
    for place in range(3):
        assert together[place] == pytest.approx([one[place] for one in alone])


def test_more_noise_needs_more_pairs_and_the_ratio_does_not_count() -> None:
    needed = [
        int(pairs_needed(noise_of(pairs_from(noisy(16, spread))), resolution=0.05, confidence=0.95))
        for spread in (0.01, 0.05, 0.2)
    ]
    assert needed == sorted(needed)
    assert needed[0] >= 50
    assert all(one % 2 == 0 for one in needed)
    shifted = noise_of(pairs_from([one + 1 for one in noisy(16, 0.05)]))
    assert int(pairs_needed(shifted, resolution=0.05, confidence=0.95)) == needed[1]


def test_the_predicted_reach_is_that_of_the_interval() -> None:
    pairs = pairs_from(noisy(64, 0.05))
    estimate, lower, _ = log_bounds(pairs, 0.95)
    predicted = float(predicted_reach(noise_of(pairs), 64, 0.95))
    assert float(estimate - lower) == pytest.approx(predicted, rel=0.3)


def test_what_a_start_decides_is_not_lessened_by_pairs_and_does_not_ask_for_more() -> None:
    values = noisy(512, 0.05)
    known, spread = pairs_from(values), pairs_from(values, start_spread=0.04)
    estimate, lower, upper = log_bounds(spread, 0.95)
    assert float(estimate) == float(log_bounds(known, 0.95)[0])
    assert float(estimate - lower) == pytest.approx(float(upper - estimate), rel=0.1)
    assert 1.645 * 0.04 < float(estimate - lower) < 1.1 * 1.645 * 0.04
    assert spread.first(256).start_spread == 0.04
    needed = [int(pairs_needed(noise_of(one), resolution=0.05, confidence=0.95)) for one in (known, spread)]
    assert 2 <= needed[1] <= needed[0]


def test_blocks_with_a_start_of_their_own_show_what_starts_decide() -> None:
    rounds = speed_point(1.2, noise=0.02, pairs=4).rounds
    assert pairs_of(rounds, "goodput_per_device", engine="engine", start_spread=0.04).start_spread == 0.04
    blocks = [
        one.model_copy(update={"block": place // 2}) for place, one in enumerate(sorted_by_side(rounds))
    ]
    assert pairs_of(blocks, "goodput_per_device", engine="engine", start_spread=0.04).start_spread == 0.0


def sorted_by_side(rounds: Sequence[RoundResult]) -> list[RoundResult]:
    """Rounds by twos of a side, as in blocks of two."""
    sides = [[one for one in rounds if one.side == name] for name in ("engine", "vllm")]
    return [one for at in range(0, len(sides[0]), 2) for side in sides for one in side[at : at + 2]]


def test_looks_spend_no_more_than_the_error() -> None:
    spent = sum(1 - early_confidence(0.95, number) for number in range(1, 40)) + 1 - last_confidence(0.95)
    assert spent == pytest.approx(0.05)


def test_attempts_spend_no_more_than_the_error() -> None:
    assert attempt_confidence(0.95, 1) == pytest.approx(0.975)
    assert sum(1 - attempt_confidence(0.95, one) for one in range(1, 100_000)) == pytest.approx(
        0.05, rel=1e-4
    )


def test_variants_share_the_error() -> None:
    assert protocol(variants=8).speed.confidence == pytest.approx(1 - 0.05 / 8)


def look(log_ratios: list[float], affordable: int = 1000) -> tuple[str, int]:
    found = take_look(pairs_from(log_ratios), PLAN, confidence=0.95, number=1, affordable=affordable)
    return ENDED[int(found.ended)], int(found.pairs)


def test_a_look_ends_or_says_how_far_to_go_on() -> None:
    bar = math.log(PLAN.gate.min_speedup)
    at_bar = [bar + one for one in [0.05, -0.05] * 8]
    assert look([bar + 1 + one for one in [0.05, -0.05] * 4]) == ("clear", 8)
    assert look([bar - 1 + one for one in [0.05, -0.05] * 4]) == ("clear", 8)
    assert look(at_bar) == ("undecided", 32)
    assert look(at_bar, affordable=16) == ("budget", 16)
    assert look(at_bar, affordable=20) == ("underpowered", 16)
    assert look([bar] * 128) == ("resolved", 128)


def test_students_quantile() -> None:
    assert float(student_quantile(0.95, 7)) == pytest.approx(1.8946, abs=1e-4)
