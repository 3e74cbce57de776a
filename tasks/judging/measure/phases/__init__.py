"""The phases of a measurement: what finished ones left for later runs, and the time left for others."""

from tasks.judging.measure.phases.budget import SECONDS_PER_MINUTE, Budget, in_words, left_in_words
from tasks.judging.measure.phases.kept import NothingKept, PhaseKeeper, PhaseT

__all__ = [
    "SECONDS_PER_MINUTE",
    "Budget",
    "NothingKept",
    "PhaseKeeper",
    "PhaseT",
    "in_words",
    "left_in_words",
]
