"""Bounds keep their confidence: simulated over the populations on which simpler bounds fail."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from tasks.judging.statistics import (
    bounded_mean_interval,
    length_ratio_interval,
    samples_to_pass,
    share_difference_interval,
    share_interval,
)

CAP = 2.0
MARGIN = 0.05
RUNS = 300
POWER_RUNS = 100
# Three standard errors of a share of 5 % among that many runs.
TOLERATED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)

Population = Callable[[np.random.Generator, int], np.ndarray]


def two_point(value: float) -> Population:
    """Zero, and now and then `value`; mean MARGIN."""
    return lambda source, n: np.where(source.random(n) < MARGIN / value, value, 0.0)


def spread_out(share: float) -> Population:
    """Zero, and for a share of samples an exponential regret; mean MARGIN (the cap hardly bites)."""
    return lambda source, n: np.where(source.random(n) < share, source.exponential(MARGIN / share, n), 0.0)


@pytest.mark.parametrize("samples", [100, 300])
@pytest.mark.parametrize(
    "population",
    [two_point(CAP), two_point(1.0), two_point(0.2), spread_out(0.2), spread_out(0.6)],
    ids=["rare-worst", "rare-large", "common-small", "skewed-20%", "skewed-60%"],
)
def test_an_engine_at_the_margin_passes_in_at_most_five_percent_of_runs(
    population: Population, samples: int
) -> None:
    source = np.random.default_rng(11)
    passed = sum(
        bounded_mean_interval(
            population(source, samples).tolist(), cap=CAP, confidence=0.95, draws=1000
        ).upper
        <= MARGIN
        for _ in range(RUNS)
    )
    assert passed / RUNS <= TOLERATED


@pytest.mark.parametrize("population", [two_point(1.0), spread_out(0.2)])
def test_the_lower_bound_keeps_its_confidence_too(population: Population) -> None:
    source = np.random.default_rng(12)
    missed = sum(
        bounded_mean_interval(population(source, 200).tolist(), cap=CAP, confidence=0.95, draws=1000).lower
        > MARGIN
        for _ in range(RUNS)
    )
    assert missed / RUNS <= TOLERATED


def test_a_sample_of_zeros_has_clopper_and_pearsons_width() -> None:
    interval = bounded_mean_interval([0.0] * 300, cap=CAP, confidence=0.95, draws=200_000)
    assert interval.estimate == 0
    assert interval.lower == 0
    assert interval.upper == pytest.approx(CAP * (1 - 0.05 ** (1 / 300)), rel=0.02)


def test_samples_without_spread_need_hardly_more_than_the_smallest_number_that_passes() -> None:
    needed = samples_to_pass(spread=0.0, distance=MARGIN, worst=CAP, confidence=0.95)
    assert CAP * (1 - 0.05 ** (1 / needed)) <= MARGIN < CAP * (1 - 0.05 ** (1 / (needed - 3)))


def test_more_samples_are_needed_for_more_spread_and_less_distance() -> None:
    def needed(spread: float, distance: float) -> int:
        return samples_to_pass(spread=spread, distance=distance, worst=CAP, confidence=0.95)

    assert needed(0.0, 0.02) < needed(0.1, 0.02) < needed(0.2, 0.02)
    assert needed(0.1, 0.04) < needed(0.1, 0.02)
    assert needed(4.0, 0.02) == pytest.approx(((1.6449 + 0.8416) * 4.0 / 0.02) ** 2, rel=0.01)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_an_engine_at_half_the_margin_passes_with_the_power_that_was_promised(share: float) -> None:
    """With as many samples as are said to be needed, in at least 80 % of runs; three standard errors less."""
    source, half = np.random.default_rng(14), MARGIN / 2
    spread = half * math.sqrt(2 / share - 1)
    needed = samples_to_pass(spread=spread, distance=half, worst=CAP - half, confidence=0.95)
    passed = sum(
        bounded_mean_interval(
            np.where(source.random(needed) < share, source.exponential(half / share, needed), 0.0).tolist(),
            cap=CAP,
            confidence=0.95,
            draws=500,
        ).upper
        <= MARGIN
        for _ in range(POWER_RUNS)
    )
    assert passed / POWER_RUNS >= 0.8 - 3 * math.sqrt(0.16 / POWER_RUNS)


def test_a_regret_beyond_the_cap_counts_as_the_cap() -> None:
    wild = bounded_mean_interval([0.0] * 99 + [50.0], cap=CAP, confidence=0.95)
    worst = bounded_mean_interval([0.0] * 99 + [CAP], cap=CAP, confidence=0.95)
    assert wild == worst


def test_equal_samples_give_equal_bounds_in_any_order() -> None:
    values = [0.0, 0.3, 0.0, 0.1, 0.0]
    one = bounded_mean_interval(values, cap=CAP, confidence=0.95)
    assert bounded_mean_interval(values[::-1], cap=CAP, confidence=0.95) == one


def test_equal_lengths_still_have_an_interval_that_shrinks() -> None:
    few = length_ratio_interval([(32, 32)] * 20, longest=32, confidence=0.95)
    many = length_ratio_interval([(32, 32)] * 200, longest=32, confidence=0.95)
    assert few.estimate == many.estimate == 1
    assert few.lower < many.lower < 1 < many.upper < few.upper


def test_length_ratio_covers_a_true_ratio_of_one() -> None:
    source = np.random.default_rng(13)

    def interval_of_one_run() -> bool:
        lengths = source.integers(1, 65, size=(60, 2)).tolist()
        found = length_ratio_interval([(a, b) for a, b in lengths], longest=64, confidence=0.95, draws=1000)
        return found.upper < 1

    assert sum(interval_of_one_run() for _ in range(200)) / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_difference_of_equal_shares_is_covered(share: float) -> None:
    source = np.random.default_rng(16)

    def misses() -> bool:
        pairs = (source.random((120, 2)) < share).tolist()
        found = share_difference_interval([(a, b) for a, b in pairs], confidence=0.95, draws=1000)
        return found.lower > 0

    assert sum(misses() for _ in range(RUNS)) / RUNS <= TOLERATED


def test_a_difference_of_shares_has_its_sign() -> None:
    found = share_difference_interval([(True, False)] * 40 + [(True, True)] * 60, confidence=0.95)
    assert found.estimate == pytest.approx(0.4)
    assert 0.3 < found.lower < 0.4 < found.upper < 0.5
    same = share_difference_interval([(True, True)] * 100, confidence=0.95)
    assert same.lower < 0 < same.upper


@pytest.mark.parametrize(
    ("successes", "lower", "upper"), [(0, 0.0, 0.2589), (10, 0.7411, 1.0), (5, 0.2224, 0.7776)]
)
def test_shares_have_clopper_and_pearsons_bounds(successes: int, lower: float, upper: float) -> None:
    interval = share_interval(successes, 10, 0.95)
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=1e-4)
