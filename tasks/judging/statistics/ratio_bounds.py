"""Intervals on the ratio of two speeds, from pairs of neighbouring blocks of rounds. Pure.

Log ratios of pairs are neither normal nor independent: rounds stall, one side's noise outlasts its rounds,
and the first pairs may show no noise at all. So an interval is the widest of several Student intervals:

- by round and by time (`paired_rounds`): a rare stall hardly moves the typical round, but users wait for it.
- over batches of 1, 2, 4, ... consecutive pairs, as long as there are six batches: noise that lasts is seen
  in the spread of long batches (batch means; P. Glynn, W. Whitt, Oper. Res. Lett. 10, 1991).
- with one more pair than were made, as bad as the worst one, and at least as bad as if one round had taken
  twice as long: pairs without a stall do not show that there is none. The same extra observation bounds
  regrets (`regret_bounds`).

What a start decides (where memory lies, which kernels were chosen) is shared by all rounds after it, and no
number of them shows it. If each side was started once, its spread (`SpeedPlan.start_spread`) widens every
interval: as an error that is independent of the others and normal, with a known standard deviation.

By drift no side gains: the two blocks of a pair follow each other, and of every two pairs one is made in
reverse order. Which of them is drawn by lot, so no side gains by effects that come back periodically either.

`enginery selftest` simulates the whole procedure; docs/selftest.md has its table of error rates.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import Interval, Metric, SpeedPoint
from tasks.judging.statistics.paired_rounds import Pairs, pairs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

STALL = 2.0
"""How many times as long an unseen stalled round is assumed to take, at least."""
LEAST_BATCHES = 6
POWER = 0.96
"""Of finding an engine that clears the bar by the resolution; the noise is estimated, so more than 95 %.

An engine that has to win several comparisons is missed by losing any of them: they share what is missing."""
MOST_PAIRS = 4096


class Noise(NamedTuple):
    """The noise of pairs; arrays with one entry per run, or scalars.

    Attributes:
        pairs: how many there are.
        error: standard error of the mean log ratio.
        worst: how far the worst pair is from the mean.
        start_spread: standard error that no number of pairs lessens.
    """

    pairs: int
    error: "NDArray[Any]"
    worst: "NDArray[Any]"
    start_spread: float


def log_bounds(pairs: Pairs, confidence: float) -> tuple["NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]:
    """Return estimate, lower and upper bound of the log ratio, each bound one-sided; see the module.

    The estimate is the smaller of those by round and by time. With at least two pairs.
    """
    import numpy as np

    views = _views(pairs)
    lower = [_student_bound(values, -worst, confidence) for values, worst in views]
    upper = [-_student_bound(-values, -worst, confidence) for values, worst in views]
    estimate = np.minimum(*(values.mean(-1) for values, _ in views))
    by_starts = normal_quantile(confidence) * pairs.start_spread
    below, above = (
        np.hypot(part, by_starts) for part in (estimate - np.minimum(*lower), np.maximum(*upper) - estimate)
    )
    return estimate, estimate - below, estimate + above


def noise_of(pairs: Pairs) -> Noise:
    """Return the noise of pairs: the larger one of both views, and of all lengths of batches."""
    import numpy as np

    views = _views(pairs)
    errors = [
        batches.std(-1, ddof=1) / math.sqrt(batches.shape[-1])
        for values, _ in views
        for _, batches in batches_of(values)
    ]
    worst = [np.maximum(-_deviations(values).min(-1), least) for values, least in views]
    return Noise(len(pairs), np.max(errors, 0), np.maximum(*worst), pairs.start_spread)


def predicted_reach(noise: Noise, pairs: "NDArray[Any] | int", confidence: float) -> "NDArray[Any]":
    """Return how far below the mean the lower bound will be with this many pairs, at most.

    The longest batches are the fewest, so they have the largest quantile.
    """
    import numpy as np

    length = np.maximum(1, 2 ** np.floor(np.log2(np.maximum(pairs, 1) / LEAST_BATCHES)))
    count = pairs // length
    error = noise.error * np.sqrt(noise.pairs / pairs)
    extra = noise.worst / length / (count + 1)
    reach = extra + student_quantile(confidence, count - 1) * np.hypot(error, extra)
    with_starts: NDArray[Any] = np.hypot(reach, normal_quantile(confidence) * noise.start_spread)
    return with_starts


def pairs_needed(
    noise: Noise, *, resolution: float, confidence: float, comparisons: int = 1
) -> "NDArray[Any]":
    """Return how many pairs find an engine that clears the bar by `resolution`, with the power `POWER`.

    `comparisons` are how many such an engine has to win. It clears the bar by that much more than what the
    spread of starts allows to find at all. The number is even, and at most about `MOST_PAIRS`.
    """
    import numpy as np

    steps = 2 * np.unique(np.round(np.geomspace(1, MOST_PAIRS / 2, 200)))
    power = normal_quantile(1 - (1 - POWER) / comparisons)
    each = Noise(noise.pairs, noise.error[..., None], noise.worst[..., None], noise.start_spread)
    spread = power * np.hypot(each.error * np.sqrt(noise.pairs / steps), each.start_spread)
    by_starts = (power + normal_quantile(confidence)) * each.start_spread
    enough = predicted_reach(each, steps, confidence) + spread <= math.log1p(resolution) + by_starts
    found = np.where(enough.any(-1), enough.argmax(-1), len(steps) - 1)
    return steps[found].astype(int)


def ratio_interval(pairs: Pairs, *, confidence: float) -> Interval:
    """Return the interval of the ratio."""
    estimate, lower, upper = (math.exp(bound) for bound in log_bounds(pairs, confidence))
    return Interval(estimate=estimate, lower=lower, upper=upper, confidence=confidence)


class PointRatio(NamedTuple):
    """Engine / reference at one concurrency.

    Attributes:
        metric: what was compared.
        log_ratios: of each pair.
        interval: of the ratio.
        start_spread: part of the standard error of the log ratio that no further pair lessens.
    """

    metric: Metric
    log_ratios: list[float]
    interval: Interval
    start_spread: float


def point_ratio(point: SpeedPoint, plan: SpeedPlan) -> PointRatio:
    """Return the ratio of both sides at one concurrency, and its interval."""
    pairs = pairs_of(point.rounds, plan.gate.metric, engine=point.engine.side, start_spread=plan.start_spread)
    confidence = 1 - (1 - plan.confidence) * point.error_share
    interval = ratio_interval(pairs, confidence=confidence)
    return PointRatio(plan.gate.metric, pairs.by_round().tolist(), interval, pairs.start_spread)


def is_not_faster(ratio: PointRatio, point: SpeedPoint, plan: SpeedPlan) -> bool:
    """Return whether rounds show that the engine does not reach the bar.

    Either its upper bound does not, or there were as many rounds as find an engine that does. The latter
    shows nothing if starts decide about the ratio, since further rounds say nothing about these.
    """
    bar = plan.gate.min_speedup
    found = point.ended == "resolved" and not ratio.start_spread
    return ratio.interval.upper < bar or (found and ratio.interval.lower < bar)


def student_quantile(confidence: float, degrees: Any) -> Any:
    """Return the one-sided quantile of Student's t."""
    # scipy.stats has the same under a more familiar name, but takes 1.5 s to import.
    from scipy.special import stdtrit

    return stdtrit(degrees, confidence)


def normal_quantile(confidence: float) -> float:
    """Return the one-sided quantile of the normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(confidence))


def mean_interval(values: Sequence[float], confidence: float) -> Interval:
    """Return Student's interval for the mean of at least two values that cannot be negative."""
    middle, half = fmean(values), _half_width(values, confidence)
    return Interval(
        estimate=middle, lower=max(0.0, middle - half), upper=middle + half, confidence=confidence
    )


def geometric_mean_interval(logs: Sequence[float], confidence: float) -> Interval:
    """Return Student's interval for the exponential of the mean of at least two logarithms."""
    middle, half = fmean(logs), _half_width(logs, confidence)
    estimate, lower, upper = (math.exp(value) for value in (middle, middle - half, middle + half))
    return Interval(estimate=estimate, lower=lower, upper=upper, confidence=confidence)


def _half_width(values: Sequence[float], confidence: float) -> float:
    return float(student_quantile(confidence, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def _views(pairs: Pairs) -> list[tuple["NDArray[Any]", float]]:
    """Return the values by round and by time, each with the deviation of a pair whose one round stalls."""
    return [
        (pairs.by_round(), math.log(STALL) / pairs.rounds),
        (pairs.by_time(), (STALL - 1) / pairs.rounds),
    ]


def _student_bound(values: "NDArray[Any]", least: float, confidence: float) -> "NDArray[Any]":
    """Return the smallest lower bound of the mean over all lengths of batches.

    One more batch than were made has one pair with the worst deviation, or with `least`, which is negative.
    """
    import numpy as np

    mean = values.mean(-1)
    worst = np.minimum(_deviations(values).min(-1), least)
    bounds = []
    for length, batches in batches_of(values):
        count = batches.shape[-1]
        extra = batches.mean(-1) + worst / length
        spread = np.concatenate([batches, extra[..., None]], -1).std(-1, ddof=1)
        quantile = student_quantile(confidence, count - 1)
        bounds.append(mean + worst / length / (count + 1) - quantile * spread / math.sqrt(count + 1))
    bound: NDArray[Any] = np.min(bounds, 0)
    return bound


def batches_of(values: "NDArray[Any]") -> list[tuple[int, "NDArray[Any]"]]:
    """Return the means of batches of 1, 2, 4, ... consecutive values; the first values may be left out."""
    pairs = values.shape[-1]
    lengths = [2**k for k in range(pairs.bit_length()) if k == 0 or pairs >> k >= LEAST_BATCHES]
    found = []
    for length in lengths:
        count = pairs // length
        whole = values[..., pairs - length * count :]
        found.append((length, whole.reshape(*values.shape[:-1], count, length).mean(-1)))
    return found


def _deviations(values: "NDArray[Any]") -> "NDArray[Any]":
    deviations: NDArray[Any] = values - values.mean(-1, keepdims=True)
    return deviations
