"""What a gate's outcomes mean for the verdict: its rows in the table of verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VerdictName = Literal["compile", "stay-on-vllm", "rejected", "inconclusive"]

NOT_MEASURED = "not-measured"
"""The value of conditions on timed rounds if no round was timed."""

HOST_BUSY = "host-busy"
"""The value of the condition that says so, if that is because others kept the host busy."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One column of the table of verdicts.

    Attributes:
        name: title of the column.
        outcomes: its possible values, if it was measured.
    """

    name: str
    outcomes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table of verdicts, as far as it concerns the gate that defines it.

    Which outcomes other gates must have for the row to decide follows from the order of the gates
    (`tasks.judging.decide.table`).

    Attributes:
        id: name of the row.
        when: accepted outcomes by condition.
        verdict: the verdict in that case.
        meaning: what the row says, in words.
        after: gates whose reasons the verdict lists before this one's, because they are part of it.
    """

    id: str
    when: Mapping[str, tuple[str, ...]]
    verdict: VerdictName
    meaning: str
    after: tuple[str, ...] = ()

    def takes(self, values: Mapping[str, str]) -> bool:
        """Whether the row accepts these values; conditions that are not given do not matter."""
        return all(values[name] in taken for name, taken in self.when.items() if name in values)
