"""Bounds on the mean of bounded, skewed samples with many zeros: regret, and lengths of continuations. Pure.

Why not Student's t or a bootstrap? Most regrets are zero, and a few are large. A sample without a single
disagreement would get an interval of zero width, and a sample without the rare large values an interval that
is far too short. Only a declared worst value can fix that: n samples never exclude a rare loss of unlimited
size. So a regret above the protocol's cap counts as the cap, and the bound assumes one observation at the cap
besides those that were made:

    upper bound = c-quantile of  (sum w_i x_i + w_0 cap) / (sum w_i + w_0),   w independent standard
    exponentials

This is Gaffke's bound (N. Gaffke, Math. Methods Statist. 14, 2005; studied as a confidence bound by E.
Learned-Miller and P. Thomas, arXiv:1905.06208). For a sample of zeros it is exactly cap * (1 - (1 -
c)**(1/n)), Clopper and Pearson's bound; for many well-behaved samples it approaches the usual normal bound.
No distribution on [0, cap] is known for which it covers less often than c; tests/unit/tasks/judging simulates
the hard ones. For lower bounds, the extra observation is zero.

The quantile is that of a fixed number of draws from a fixed seed, so equal samples give equal bounds.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, RegretSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 10_000
SEED = 20_260_101
POWER = 0.8


def bounded_mean_interval(
    values: Sequence[float], *, cap: float, confidence: float, draws: int = DRAWS
) -> Interval:
    """Return one-sided bounds of the mean of non-negative values, each counted up to `cap`."""
    capped = [min(value, cap) for value in values]
    weighted, weights, extra = _dirichlet_sums([(value, 1.0) for value in capped], draws)
    return Interval(
        estimate=fmean(capped),
        lower=_quantile(weighted / (weights + extra), 1 - confidence),
        upper=_quantile((weighted + extra * cap) / (weights + extra), confidence),
        confidence=confidence,
    )


def regret_interval(samples: Sequence[RegretSample], plan: AccuracyPlan) -> Interval:
    """Return bounds of the mean regret, each text counted up to the plan's cap."""
    regrets = [sample.regret_nats for sample in samples]
    return bounded_mean_interval(regrets, cap=plan.regret_cap_nats, confidence=plan.gate.confidence)


def length_ratio_interval(
    pairs: Sequence[tuple[int, int]], *, longest: int, confidence: float, draws: int = DRAWS
) -> Interval:
    """Return bounds of mean(first) / mean(second) over paired lengths in 1 .. longest.

    The extra pair is the worst possible: (longest, 1) for the upper bound, (1, longest) for the lower one.
    """
    first, second, extra = _dirichlet_sums([(float(a), float(b)) for a, b in pairs], draws)
    return Interval(
        estimate=sum(a for a, _ in pairs) / sum(b for _, b in pairs),
        lower=_quantile((first + extra) / (second + extra * longest), 1 - confidence),
        upper=_quantile((first + extra * longest) / (second + extra), confidence),
        confidence=confidence,
    )


def share_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return Clopper and Pearson's bounds of a share."""
    from scipy.special import betaincinv

    failures = trials - successes
    lower = float(betaincinv(successes, failures + 1, 1 - confidence)) if successes else 0.0
    upper = float(betaincinv(successes + 1, failures, confidence)) if failures else 1.0
    return Interval(estimate=successes / trials, lower=lower, upper=upper, confidence=confidence)


def samples_to_pass(*, spread: float, distance: float, worst: float, confidence: float) -> int:
    """Return how many samples, of a mean at `distance` below the margin, pass with 80 % power.

    Args:
        spread: standard deviation of one sample.
        distance: from their mean to the margin.
        worst: value of the one observation that the bound adds, above their mean.
        confidence: of the bound that must reach the margin.

    It is a normal approximation; without spread, it is as exact as the bound.
    """
    from scipy.special import ndtri

    bound, power = float(ndtri(confidence)), float(ndtri(POWER))
    # The quantile of the added observation's exponential weight, above its mean of 1.
    added = -math.log(1 - confidence) - 1

    def reach(samples: int) -> float:
        error, shift = spread / math.sqrt(samples), worst / samples
        return shift + math.hypot(bound * error, added * shift) + power * error

    low, high = 0, 1
    while reach(high) > distance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(middle) <= distance else (middle, high)
    return high


def _dirichlet_sums(
    pairs: Iterable[tuple[float, float]], draws: int
) -> tuple["NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]:
    """Draw the sums of w * first and of w * second over pairs, and the weight of one extra pair.

    The weights w are exponential. Equal pairs are drawn together (a sum of k exponentials is Gamma(k)), as
    most samples are zeros.
    """
    import numpy as np

    counts: dict[tuple[float, float], int] = {}
    for pair in sorted(pairs):
        counts[pair] = counts.get(pair, 0) + 1
    source = np.random.default_rng(SEED)
    first, second = np.zeros(draws), np.zeros(draws)
    for (a, b), count in counts.items():
        weight = source.standard_gamma(count, draws)
        first += a * weight
        second += b * weight
    return first, second, source.standard_exponential(draws)


def _quantile(values: "NDArray[Any]", share: float) -> float:
    import numpy as np

    return float(np.quantile(values, share))
