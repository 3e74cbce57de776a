"""How much faster something became between two measurements, from the rates of blocks in each. Pure.

The two were made at different times, so nothing is paired and no drift of the host cancels. A bound covers
the noise within both measurements and what their starts decided, not how a host differs from day to day.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.judging.results import Interval
from tasks.judging.statistics.ratio_bounds import batches_of, normal_quantile, student_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray


def change_interval(
    before: Sequence[float], after: Sequence[float], *, confidence: float, start_spread: float
) -> Interval:
    """Return after / before, of positive rates; at least two of each.

    Each bound is one-sided, and has this confidence. Noise that lasts longer than a block is seen in batches
    of consecutive blocks, as in the intervals of one measurement. `start_spread` is the standard deviation of
    what the starts in both measurements add to the logarithm, which no block shows.
    """
    import numpy as np

    old, new = np.log(before), np.log(after)
    middle = float(new.mean() - old.mean())
    by_starts = normal_quantile(confidence) * start_spread
    half = math.hypot(_half_width(old, confidence), _half_width(new, confidence), by_starts)
    estimate, lower, upper = (math.exp(value) for value in (middle, middle - half, middle + half))
    return Interval(estimate=estimate, lower=lower, upper=upper, confidence=confidence)


def _half_width(logs: "NDArray[Any]", confidence: float) -> float:
    """Return the distance of each bound of the mean; the widest over all lengths of batches."""
    return max(
        float(student_quantile(confidence, len(means) - 1)) * float(means.std(ddof=1)) / math.sqrt(len(means))
        for _, means in batches_of(logs)
    )
