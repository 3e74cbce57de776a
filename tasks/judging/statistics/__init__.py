"""Intervals that keep their confidence for what is measured here: speed ratios, regrets, lengths. Pure.

scipy and numpy are imported only inside functions that use them, so reading results does not load them.
"""

from tasks.judging.statistics.looks import ENDED, Look, attempt_confidence, take_look
from tasks.judging.statistics.paired_rounds import Pairs, pairs_of
from tasks.judging.statistics.ratio_bounds import (
    geometric_mean_interval,
    mean_interval,
    point_ratio,
    ratio_interval,
)
from tasks.judging.statistics.regret_bounds import (
    bounded_mean_interval,
    gross_error_interval,
    length_ratio_interval,
    regret_interval,
    samples_to_pass,
    share_interval,
)

__all__ = [
    "ENDED",
    "Look",
    "Pairs",
    "attempt_confidence",
    "bounded_mean_interval",
    "geometric_mean_interval",
    "gross_error_interval",
    "length_ratio_interval",
    "mean_interval",
    "pairs_of",
    "point_ratio",
    "ratio_interval",
    "regret_interval",
    "samples_to_pass",
    "share_interval",
    "take_look",
]
