"""Simulated rates with their Monte Carlo intervals."""

from typing import Self

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.results import Interval
from tasks.judging.statistics import share_interval

MONTE_CARLO_CONFIDENCE = 0.975
TOLERATED = 0.05


class Rate(Frozen):
    """How often something happened in simulated runs."""

    times: int = Field(ge=0)
    runs: int = Field(ge=1)
    interval: Interval = Field(description="Clopper and Pearson's, 95 % on both sides.")

    @classmethod
    def of(cls, times: int, runs: int) -> Self:
        """Return the rate with its interval."""
        return cls(times=times, runs=runs, interval=share_interval(times, runs, MONTE_CARLO_CONFIDENCE))

    @property
    def is_rare(self) -> bool:
        """Whether the simulation allows that it happens in at most 5 % of runs."""
        return self.interval.lower <= TOLERATED

    def text(self) -> str:
        """Write it as text, such as `0.012 [0.008, 0.018]`."""
        return self.interval.text()


class Row(Frozen):
    """One scenario of a family."""

    scenario: str
    false_alarm: Rate = Field(description="Called good at the limit, or with damage, where it is not.")
    found: Rate = Field(description="What has to be found is: that it is good by a margin, or the damage.")
    missed: Rate = Field(description="Called bad where it is good.")
    inconclusive: Rate = Field(description="Neither there, because too little was measured.")
    work: dict[str, float] = Field(description="Mean pairs or samples that it took, by what was true.")

    @property
    def holds(self) -> bool:
        """Whether both errors are rare."""
        return self.false_alarm.is_rare and self.missed.is_rare
