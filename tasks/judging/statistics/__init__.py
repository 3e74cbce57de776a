"""Intervals that keep their confidence for what is measured: speed ratios, regrets, lengths, misses. Pure.

scipy and numpy are imported only inside functions that use them, so reading results does not load them.
"""

from tasks.judging.statistics.changes import change_interval
from tasks.judging.statistics.gains import gains_of
from tasks.judging.statistics.garbled_answers import (
    GARBLED,
    is_garbled,
)
from tasks.judging.statistics.looks import ENDED, Look, attempt_confidence, take_look
from tasks.judging.statistics.miss_bounds import (
    ALLOWED_SHARE,
    Kept,
    Limits,
    Misses,
    limits_of,
    look_confidence,
    miss_interval,
    misses_of,
    open_loop_limits,
    requests_of_look,
    requests_to_settle,
    requests_without_miss,
    shown_by,
    shown_of,
)
from tasks.judging.statistics.objective import (
    Bound,
    Role,
    Served,
    at_least,
    at_most,
    baseline_served,
    by_estimates,
    meets,
    rate_bound,
    served_at,
)
from tasks.judging.statistics.paired_rounds import Pairs, pairs_of
from tasks.judging.statistics.paired_scores import mcnemar_p, paired_loss_interval, pairs_to_pass
from tasks.judging.statistics.parts import (
    Span,
    part_interval,
    part_limit,
    part_texts_to_pass,
    spans_of,
    units_of,
)
from tasks.judging.statistics.quantile_bounds import quantile_bounds
from tasks.judging.statistics.ratio_bounds import (
    PointRatio,
    geometric_mean_interval,
    is_not_faster,
    mean_interval,
    point_ratio,
    ratio_interval,
)
from tasks.judging.statistics.region import RegionPoint, Wins, region, region_in_words
from tasks.judging.statistics.regret_bounds import (
    DRAWS,
    Unit,
    bounded_mean_interval,
    fewest_samples,
    gross_error_interval,
    length_ratio_interval,
    regret_interval,
    samples_to_pass,
    share_difference_interval,
    share_interval,
)

__all__ = [
    "ALLOWED_SHARE",
    "DRAWS",
    "ENDED",
    "GARBLED",
    "Bound",
    "Kept",
    "Limits",
    "Look",
    "Misses",
    "Pairs",
    "PointRatio",
    "RegionPoint",
    "Role",
    "Served",
    "Span",
    "Unit",
    "Wins",
    "at_least",
    "at_most",
    "attempt_confidence",
    "baseline_served",
    "bounded_mean_interval",
    "by_estimates",
    "change_interval",
    "fewest_samples",
    "gains_of",
    "geometric_mean_interval",
    "gross_error_interval",
    "is_garbled",
    "is_not_faster",
    "length_ratio_interval",
    "limits_of",
    "look_confidence",
    "mcnemar_p",
    "mean_interval",
    "meets",
    "miss_interval",
    "misses_of",
    "open_loop_limits",
    "paired_loss_interval",
    "pairs_of",
    "pairs_to_pass",
    "part_interval",
    "part_limit",
    "part_texts_to_pass",
    "point_ratio",
    "quantile_bounds",
    "rate_bound",
    "ratio_interval",
    "region",
    "region_in_words",
    "regret_interval",
    "requests_of_look",
    "requests_to_settle",
    "requests_without_miss",
    "samples_to_pass",
    "served_at",
    "share_difference_interval",
    "share_interval",
    "shown_by",
    "shown_of",
    "spans_of",
    "take_look",
    "units_of",
]
