"""What comes of a live self-test, and whether it is as it has to be."""

from pydantic import AwareDatetime, Field

from artifacts.frozen import Frozen
from tasks.judging.selftest import Rate
from tasks.selftest.faults import Expected
from tasks.selftest.trial import Trial


class Row(Frozen):
    """One damage, cheat or harmless case, and all of its trials."""

    name: str
    does: str
    expected: Expected
    gates: tuple[str, ...] = Field(description="The gates that may find it.")
    note: str = ""
    trials: tuple[Trial, ...] = Field(min_length=1)

    @property
    def found(self) -> Rate:
        """How often it was found; of a harmless case, these are false alarms."""
        return Rate.of(sum(one.was_found for one in self.trials), len(self.trials))

    @property
    def holds(self) -> bool:
        """Whether every trial came out as it has to; what is to be found has to be by a gate that is named.

        Otherwise a fault of the test itself, such as a stream that the client refuses, would count as found.
        """
        return {
            "found": all(one.was_found and {*one.gates} & {*self.gates} for one in self.trials),
            "harmless": not any(one.was_found for one in self.trials),
            "within-limits": True,
        }[self.expected]


class Control(Frozen):
    """Something that a judge has to notice, or not to find, besides damage and cheats."""

    name: str
    does: str
    came_out: tuple[str, ...] = Field(min_length=1, description="What came of each trial, in words.")
    held: int = Field(ge=0, description="Trials that came out as they have to.")

    @property
    def rate(self) -> Rate:
        """How often it came out as it has to."""
        return Rate.of(self.held, len(self.came_out))

    @property
    def holds(self) -> bool:
        """Whether every trial did."""
        return self.held == len(self.came_out)


class LiveSelfTest(Frozen):
    """The live table."""

    began_at: AwareDatetime
    host: str = Field(description="Processor and cores.")
    repeats: int = Field(ge=1)
    rows: tuple[Row, ...]
    controls: tuple[Control, ...]

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the rows that did not come out as they have to."""
        rows = [row.name for row in self.rows if not row.holds]
        return (*rows, *(control.name for control in self.controls if not control.holds))
