"""Intervals that keep their confidence for what is measured here: speed ratios, regrets, lengths. Pure.

scipy and numpy are imported only inside functions that use them, so reading results does not load them.
"""

from tasks.judging.statistics.ratio_bounds import mean_interval, pairs_needed, point_ratio, ratio_interval
from tasks.judging.statistics.regret_bounds import (
    bounded_mean_interval,
    gross_error_interval,
    length_ratio_interval,
    regret_interval,
    samples_to_pass,
    share_interval,
)

__all__ = [
    "bounded_mean_interval",
    "gross_error_interval",
    "length_ratio_interval",
    "mean_interval",
    "pairs_needed",
    "point_ratio",
    "ratio_interval",
    "regret_interval",
    "samples_to_pass",
    "share_interval",
]
