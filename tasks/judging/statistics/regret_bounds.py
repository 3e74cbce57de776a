"""Bounds on the mean of skewed samples with many zeros: regret, gross errors, lengths. Pure.

Why not Student's t or a bootstrap? Most regrets are zero, and a few are large. A sample without a single
disagreement would get an interval of zero width, and a sample without the rare large values an interval that
is far too short. Only a declared worst value can fix that: n samples never exclude a rare loss of unlimited
size. So the bound assumes one observation of the worst value besides those that were made:

    upper bound = c-quantile of  (sum w_i x_i + w_0 worst) / (sum w_i + w_0),   w independent standard
    exponentials

This is Gaffke's bound (N. Gaffke, Math. Methods Statist. 14, 2005; studied as a confidence bound by E.
Learned-Miller and P. Thomas, arXiv:1905.06208). For a sample of zeros it is exactly worst * (1 - (1 -
c)**(1/n)), Clopper and Pearson's bound; for many well-behaved samples it approaches the usual normal bound.
No distribution on [0, worst] is known for which it covers less often than c. For lower bounds, the extra
observation is zero.

Invariants:
- No regret is capped: what was found counts in full, so an engine with rare garbage does not pass more often
  with more samples. What was not found is assumed to be the declared gross error, or `TAIL` times the worst
  text that was found: where there are large values, there are larger ones.
- Texts are the units, and texts that were asked together are units as well; the wider interval counts. A
  fault of one iteration harms all requests in it.
- The quantile is that of a fixed number of draws from a fixed seed, so equal samples give equal bounds.

tests/unit/tasks/judging/statistics simulates heavy tails and dependent texts.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engine_specs.spec import AccuracyGate
from tasks.judging.results import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 10_000
# Weights that are drawn at once, times DRAWS: 20 MB.
ROWS = 256
# Draws that are kept for equal samples, which gates and report ask for again: 240 KB each.
KEPT = 64
SEED = 20_260_101
POWER = 0.8
TAIL = 3.0

Unit = tuple[float, float]


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


def regret_interval(
    regrets: Sequence[float], in_flight: Sequence[int], gate: AccuracyGate, *, draws: int = DRAWS
) -> Interval:
    """Return bounds of the mean regret.

    Args:
        regrets: mean regret of each text, in the order in which texts were asked.
        in_flight: requests that were in flight with each of them.
        gate: declares what is a gross error, and the confidence.
        draws: of the quantile.
    """

    def worst(largest: float) -> float:
        return max(gate.gross_error_nats, TAIL * largest)

    return wider([mean_bounds(u, worst, gate.confidence, draws) for u in _units(regrets, in_flight)])


def gross_error_interval(
    shares: Sequence[float], in_flight: Sequence[int], gate: AccuracyGate, *, draws: int = DRAWS
) -> Interval:
    """Return bounds of the share of tokens that are gross errors, from the share of each text."""

    def worst(largest: float) -> float:
        return max(1.0, largest)

    return wider([mean_bounds(u, worst, gate.confidence, draws) for u in _units(shares, in_flight)])


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


def share_difference_interval(
    pairs: Sequence[tuple[bool, bool]], *, confidence: float, draws: int = DRAWS
) -> Interval:
    """Return bounds of the share of the first less that of the second, over paired observations.

    The extra pair is the worst possible: the first without the second for the upper bound, and the reverse.
    """
    values = [(1 + first - second) / 2 for first, second in pairs]
    found = bounded_mean_interval(values, cap=1.0, confidence=confidence, draws=draws)
    estimate, lower, upper = (2 * value - 1 for value in (found.estimate, found.lower, found.upper))
    return found.model_copy(update={"estimate": estimate, "lower": lower, "upper": upper})


def share_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return Clopper and Pearson's bounds of a share."""
    from scipy.special import betaincinv

    failures = trials - successes
    lower = float(betaincinv(successes, failures + 1, 1 - confidence)) if successes else 0.0
    upper = float(betaincinv(successes + 1, failures, confidence)) if failures else 1.0
    return Interval(estimate=successes / trials, lower=lower, upper=upper, confidence=confidence)


def zeros_suffice(runs: Iterable[tuple[int, int]], *, margin: float, worst: float, confidence: float) -> bool:
    """Whether samples, all of them 0, are so many that the bound of their mean reaches the margin.

    Args:
        runs: how many samples are together in a unit, and the number of samples that are.
        margin: what the mean has to stay below.
        worst: value of the one observation that the bound adds.
        confidence: of the bound.

    Without draws: with exponential weights, the added observation alone brings the mean above the margin with
    the product of 1 / (1 + number * margin / (worst - margin)) over all units of that number.
    """
    if margin >= worst:
        return True
    odds = margin / (worst - margin)
    reached = 0.0
    for together, neighbours in groupby(runs, key=lambda run: run[0]):
        whole, rest = divmod(sum(samples for _, samples in neighbours), together)
        reached += whole * math.log1p(odds * together) + math.log1p(odds * rest)
    return reached >= -math.log(1 - confidence)


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


def _units(values: Sequence[float], in_flight: Sequence[int]) -> tuple[list[Unit], list[Unit]]:
    """Return texts one by one, and neighbours together, as many as were in flight: sum and number of each."""
    groups: list[Unit] = []
    for together, run in groupby(zip(values, in_flight, strict=True), key=lambda one: one[1]):
        own = [value for value, _ in run]
        parts = (own[start : start + together] for start in range(0, len(own), together))
        groups += [(math.fsum(part), float(len(part))) for part in parts]
    return [(value, 1.0) for value in values], groups


def mean_bounds(
    units: Sequence[Unit],
    worst: Callable[[float], float],
    confidence: float,
    draws: int,
    *,
    lower_confidence: float | None = None,
) -> Interval:
    """Return bounds of the mean over units, each a sum and a number.

    Besides the units, one text is assumed; `worst` gives its value by the largest sum of a unit. The lower
    bound may have another confidence than the upper one, which the interval names.
    """
    sums, numbers, extra = _dirichlet_sums(units, draws)
    assumed = worst(max(total for total, _ in units))
    return Interval(
        estimate=math.fsum(total for total, _ in units) / math.fsum(number for _, number in units),
        lower=_quantile(sums / (numbers + extra), 1 - (lower_confidence or confidence)),
        upper=_quantile((sums + extra * assumed) / (numbers + extra), confidence),
        confidence=confidence,
    )


def wider(found: Sequence[Interval]) -> Interval:
    """Return the first interval with the widest bounds of all."""
    lower, upper = min(one.lower for one in found), max(one.upper for one in found)
    return found[0].model_copy(update={"lower": lower, "upper": upper})


def _dirichlet_sums(
    pairs: Iterable[Unit], draws: int
) -> tuple["NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]:
    """Draw the sums of w * first and of w * second over pairs, and the weight of one extra pair.

    The weights w are exponential. Equal pairs are drawn together (a sum of k exponentials is Gamma(k)), as
    most samples are zeros.
    """
    counts: dict[Unit, int] = {}
    for pair in sorted(pairs):
        counts[pair] = counts.get(pair, 0) + 1
    return _drawn(tuple(counts.items()), draws)


@lru_cache(maxsize=KEPT)
def _drawn(
    counts: tuple[tuple[Unit, int], ...], draws: int
) -> tuple["NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]:
    """Draw for pairs that differ, each with how often it was seen."""
    import numpy as np

    source = np.random.default_rng(SEED)
    values, numbers = (
        np.array([pair for pair, _ in counts]),
        np.array([count for _, count in counts], dtype=float),
    )
    first, second = np.zeros(draws), np.zeros(draws)
    for start in range(0, len(values), ROWS):
        rows = slice(start, start + ROWS)
        weights = source.standard_gamma(numbers[rows, None], (len(numbers[rows]), draws))
        first += values[rows, 0] @ weights
        second += values[rows, 1] @ weights
    drawn = first, second, source.standard_exponential(draws)
    for one in drawn:
        one.setflags(write=False)
    return drawn


def _quantile(values: "NDArray[Any]", share: float) -> float:
    import numpy as np

    return float(np.quantile(values, share))
