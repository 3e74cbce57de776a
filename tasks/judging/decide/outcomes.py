"""The outcomes of all gates for one engine."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator

from artifacts.frozen import Frozen
from tasks.judging.decide.table import BASELINE, COMPILE
from tasks.judging.gates import HOST_BUSY, NOT_MEASURED, UNASKED, UNTIMED, GateOutcome, all_gates
from tasks.judging.results import NotMeasured

CompileMode = Literal["when-justified", "always"]


class Outcomes(Frozen):
    """The outcomes of all gates for one judged engine."""

    gates: dict[str, SerializeAsAny[GateOutcome]] = Field(
        description="By name of the gate; gates that read rounds are missing if none was timed."
    )
    not_timed: NotMeasured | None = Field(default=None, description="Why no round was timed, if none was.")
    compile_mode: CompileMode

    @field_validator("gates", mode="before")
    @classmethod
    def _read_by_their_gates(cls, value: Any) -> Any:
        """Parse each outcome with the type of its gate, which adds numbers."""
        types = {gate.name: gate.outcome_type for gate in all_gates()}
        if not isinstance(value, Mapping) or not value.keys() <= types.keys():
            raise ValueError(f"expected outcomes of the gates {', '.join(types)}")
        return {name: types[name].model_validate(outcome) for name, outcome in value.items()}

    def conditions(self) -> dict[str, str]:
        """Return the conditions of the table of verdicts, with their values."""
        values = {BASELINE: "go", COMPILE: str(self.compile_mode)}
        for gate in all_gates():
            judged = self.gates.get(gate.name)
            missing = {one.name: _if_missing(one.outcomes) for one in gate.conditions}
            values |= missing if judged is None else gate.values(judged)
        if self.not_timed is not None and self.not_timed.cause == "host-busy":
            values[UNTIMED] = HOST_BUSY
        return values

    def reasons(self) -> dict[str, str]:
        """Return one sentence per gate, and a single one for all that read rounds if none was timed."""
        reasons = {name: outcome.reason for name, outcome in self.gates.items()}
        return reasons if self.not_timed is None else reasons | {UNTIMED: self.not_timed.reason}


def _if_missing(outcomes: Sequence[str]) -> str:
    """Return the value of a condition whose gate was not judged: it is not asked, or no round was timed."""
    return UNASKED if UNASKED in outcomes else NOT_MEASURED
