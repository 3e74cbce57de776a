"""How much faster something became: the interval holds the true change as often as it says."""

import math
from random import Random

import pytest

from tasks.judging.statistics import change_interval

REPEATS = 1000


def rates(source: Random, mean: float, blocks: int, lasting: float) -> list[float]:
    """Rates of blocks whose noise lasts: each keeps a share of the one before."""
    noise, made = 0.0, []
    for _ in range(blocks):
        noise = lasting * noise + source.gauss(0, 0.03)
        made.append(mean * math.exp(noise))
    return made


@pytest.mark.parametrize("lasting", [0.0, 0.5])
@pytest.mark.parametrize(("before", "after"), [(16, 16), (8, 48)])
def test_each_bound_holds_as_often_as_it_says(before: int, after: int, lasting: float) -> None:
    source, change = Random(f"{before}/{after}/{lasting}"), 1.08
    found = [
        change_interval(
            rates(source, 500, before, lasting),
            rates(source, 500 * change, after, lasting),
            confidence=0.95,
            start_spread=0.0,
        )
        for _ in range(REPEATS)
    ]
    above = sum(one.lower > change for one in found) / REPEATS
    below = sum(one.upper < change for one in found) / REPEATS
    # Noise that lasts is not seen in full by eight blocks.
    most = 0.065 if lasting == 0 else 0.15
    assert max(above, below) <= most


def test_the_estimate_is_the_ratio_of_geometric_means() -> None:
    found = change_interval([100, 100, 100], [108, 108, 108], confidence=0.95, start_spread=0.0)
    assert (found.lower, found.estimate, found.upper) == pytest.approx((1.08, 1.08, 1.08))


def test_what_starts_decide_widens_both_bounds() -> None:
    found = change_interval([100, 100, 100], [100, 100, 100], confidence=0.95, start_spread=0.04)
    assert found.upper == pytest.approx(math.exp(1.645 * 0.04), rel=1e-4)
    assert found.lower == pytest.approx(1 / found.upper)
