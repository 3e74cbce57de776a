"""Intervals on the ratio of two speeds, from pairs of neighbouring rounds. Pure.

Method: Stein's two-stage procedure (C. Stein, Ann. Math. Statist. 16, 1945) on the log ratios of pairs. A
first stage of n0 pairs, as declared, estimates the noise `s`. The number of pairs that gives the declared
half-width `d` at one-sided confidence c is N = (t(c, n0 - 1) * s / d)**2, where t is Student's quantile. The
interval is then

    mean of all N log ratios  +-  t(c, n0 - 1) * s / sqrt(N)

with `s` and the degrees of freedom of the first stage only. Because N depends on the noise and never on the
mean, the bounds keep their confidence exactly for normal log ratios; to look at the ratio and stop when it is
good enough would not. A time budget that cuts N short keeps the confidence, too, and only widens the
interval.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import Interval, Metric, SpeedPoint


def student_quantile(confidence: float, degrees: int) -> float:
    """Return the one-sided quantile of Student's t."""
    # scipy.stats has the same under a more familiar name, but takes 1.5 s to import.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, confidence))


def pairs_needed(first_stage: Sequence[float], *, resolution: float, confidence: float) -> int:
    """Return how many pairs, first stage included, reach a half-width of log(1 + resolution).

    The number is even, so that drift cancels. `first_stage` holds the log ratios of at least three pairs.
    """
    reach = student_quantile(confidence, len(first_stage) - 1) * stdev(first_stage)
    needed = max(len(first_stage), math.ceil((reach / math.log1p(resolution)) ** 2))
    return needed + needed % 2


def ratio_interval(log_ratios: Sequence[float], *, first_stage: int, confidence: float) -> Interval:
    """Return the interval of the ratio; the first `first_stage` pairs estimate the noise."""
    noise = stdev(log_ratios[:first_stage])
    half = student_quantile(confidence, first_stage - 1) * noise / math.sqrt(len(log_ratios))
    middle = fmean(log_ratios)
    return Interval(
        estimate=math.exp(middle),
        lower=math.exp(middle - half),
        upper=math.exp(middle + half),
        confidence=confidence,
    )


class PointRatio(NamedTuple):
    """Engine / reference at one concurrency."""

    metric: Metric
    log_ratios: list[float]
    interval: Interval


def point_ratio(point: SpeedPoint, plan: SpeedPlan) -> PointRatio:
    """Return the ratio of both sides at one concurrency, its metric, and its interval."""
    metric, ratios = point.log_ratios(plan.gate.metric)
    interval = ratio_interval(ratios, first_stage=point.first_stage_pairs, confidence=plan.gate.confidence)
    return PointRatio(metric, ratios, interval)


def mean_interval(values: Sequence[float], confidence: float) -> Interval:
    """Return Student's interval for the mean of at least two values that cannot be negative."""
    middle = fmean(values)
    half = student_quantile(confidence, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(
        estimate=middle, lower=max(0.0, middle - half), upper=middle + half, confidence=confidence
    )
