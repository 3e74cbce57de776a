"""What a gate's outcome means for the verdict: the rows that it brings into the table of verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VerdictName = Literal["compile", "stay-on-vllm", "rejected", "inconclusive"]

NOT_MEASURED = "not-measured"
"""What a condition that timed rounds decide is if no round was timed."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One column of the table of verdicts.

    Attributes:
        name: its title.
        outcomes: what it may be, if it was measured.
    """

    name: str
    outcomes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table of verdicts, as far as the gate that brings it can see.

    What the other gates must have come to for this row to decide follows from the order of the gates
    (`tasks.judging.decide.table`).

    Attributes:
        id: name of the row.
        when: the outcomes, by condition, for which the row decides.
        verdict: the verdict then.
        meaning: the same in words.
        after: gates whose reasons come before this one's in the verdict, because they are part of it.
    """

    id: str
    when: Mapping[str, tuple[str, ...]]
    verdict: VerdictName
    meaning: str
    after: tuple[str, ...] = ()

    def takes(self, values: Mapping[str, str]) -> bool:
        """Whether the row decides for these values, as far as it names their conditions."""
        return all(values[name] in taken for name, taken in self.when.items() if name in values)
