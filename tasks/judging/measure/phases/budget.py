"""The time that one measurement may take, and what is left of it.

Invariant: everything that is measured counts, also what an earlier run of the same measurement finished. What
has to be measured in any case is measured, even if nothing is left.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.measure.phases.kept import PhaseKeeper

SECONDS_PER_MINUTE = 60.0


class Took(Frozen):
    """The time that something took when it was measured."""

    seconds: float = Field(ge=0)


class Budget:
    """A time budget.

    Args:
        minutes: as declared.
    """

    def __init__(self, minutes: float) -> None:
        self._minutes = minutes
        self._spent_s = 0.0

    @property
    def left_s(self) -> float:
        """The seconds that are left; never below zero."""
        return max(0.0, self._minutes * SECONDS_PER_MINUTE - self._spent_s)

    @property
    def in_words(self) -> str:
        """It, as part of a sentence."""
        return f"the budget of {self._minutes:g} min"

    def phase(self, name: str) -> str:
        """Return the name of a phase that the budget may cut short: with another budget it is made again."""
        return f"{name}-within-{self._minutes:g}-min"

    def spend(self, seconds: float) -> None:
        """Take seconds off."""
        self._spent_s += seconds

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Take off the time of the context."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.spend(perf_counter() - begin)

    @contextmanager
    def spending_once(self, kept: PhaseKeeper, name: str) -> Iterator[None]:
        """Take off the time of the context, or that which it took when an earlier run finished it."""
        begin = perf_counter()
        yield
        took_s = perf_counter() - begin
        self.spend(kept.once(name, Took, lambda: Took(seconds=took_s)).seconds)


def in_words(seconds: float) -> str:
    """Return seconds that something takes as part of a sentence, in a fitting unit; rounded up."""
    return _rounded(seconds, math.ceil)


def left_in_words(seconds: float) -> str:
    """Return seconds that are left; rounded down, so that what takes longer is the larger number."""
    return _rounded(seconds, math.floor)


def _rounded(seconds: float, to_whole: Callable[[float], int]) -> str:
    if seconds < 2 * SECONDS_PER_MINUTE:
        return f"{to_whole(seconds)} s"
    return f"{to_whole(seconds / SECONDS_PER_MINUTE)} min"
