"""The phases of a measurement: what finished ones left for later runs, and the time left for others."""

from tasks.judging.measure.phases.budget import SECONDS_PER_MINUTE, Budget, in_words, left_in_words
from tasks.judging.measure.phases.kept import NothingKept, OnLook, PhaseKeeper, PhaseT, ignore_look

__all__ = [
    "SECONDS_PER_MINUTE",
    "Budget",
    "NothingKept",
    "OnLook",
    "PhaseKeeper",
    "PhaseT",
    "ignore_look",
    "in_words",
    "left_in_words",
]
