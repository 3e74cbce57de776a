"""Intervals that keep their confidence for what is measured here: speed ratios, regrets, lengths. Pure.

scipy and numpy are imported only inside functions that use them, so reading results does not load them.
"""

from tasks.judging.statistics.changes import change_interval
from tasks.judging.statistics.gains import gains_of
from tasks.judging.statistics.looks import ENDED, Look, attempt_confidence, take_look
from tasks.judging.statistics.paired_rounds import Pairs, pairs_of
from tasks.judging.statistics.paired_scores import mcnemar_p, paired_loss_interval, pairs_to_pass
from tasks.judging.statistics.parts import (
    Span,
    part_interval,
    part_limit,
    part_texts_to_pass,
    reach_of,
    spans_of,
    units_of,
)
from tasks.judging.statistics.ratio_bounds import (
    geometric_mean_interval,
    mean_interval,
    point_ratio,
    ratio_interval,
)
from tasks.judging.statistics.regret_bounds import (
    Unit,
    bounded_mean_interval,
    gross_error_interval,
    length_ratio_interval,
    regret_interval,
    samples_to_pass,
    share_difference_interval,
    share_interval,
)

__all__ = [
    "ENDED",
    "Look",
    "Pairs",
    "Span",
    "Unit",
    "attempt_confidence",
    "bounded_mean_interval",
    "change_interval",
    "gains_of",
    "geometric_mean_interval",
    "gross_error_interval",
    "length_ratio_interval",
    "mcnemar_p",
    "mean_interval",
    "paired_loss_interval",
    "pairs_of",
    "pairs_to_pass",
    "part_interval",
    "part_limit",
    "part_texts_to_pass",
    "point_ratio",
    "ratio_interval",
    "reach_of",
    "regret_interval",
    "samples_to_pass",
    "share_difference_interval",
    "share_interval",
    "spans_of",
    "take_look",
    "units_of",
]
