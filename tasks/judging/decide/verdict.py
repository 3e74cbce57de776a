"""The verdict: a total function of the gates' outcomes, written as one table.

Invariants:
- Every combination of outcomes matches exactly one row; `tests/unit/judging` walks through all of them.
- A crash is not an outcome: whatever could not be measured raises, and the run fails. `not-measured` means
  that no round was asked for, and then of none of the gates that read rounds.
- Nothing is published as faster or as accurate unless the gate that proves it passed.

`docs/verdicts.md` is this table rendered by `markdown_table()`.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.gates.economics import Stay
from tasks.judging.gates.outcomes import (
    EconomicsOutcome,
    LengthOutcome,
    RegretOutcome,
    SloOutcome,
    SpeedOutcome,
    TokenizerOutcome,
)
from tasks.judging.results import NotMeasured

VerdictName = Literal["compile", "stay-on-vllm", "rejected", "inconclusive"]

REFERENCE_SLO = "reference slo"
CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "baseline": ("stay", "go"),
    "tokenizer": ("same", "different"),
    "regret": ("pass", "fail", "underpowered"),
    "length": ("pass", "fail", "underpowered"),
    "slo": ("met", "missed", "not-measured"),
    REFERENCE_SLO: ("met", "missed", "not-measured"),
    "speed": ("faster", "not-faster", "noisy", "not-measured"),
    "economics": ("positive", "negative", "not-measured"),
    "compile": ("when-justified", "always"),
}
"""Every condition with all its outcomes, in the order in which they decide."""

TIMED = ("slo", "speed", "economics")
"""The gates that read timed rounds."""
TIMED_CONDITIONS = (*TIMED, REFERENCE_SLO)
"""The conditions that timed rounds decide: the gate `slo` says it of both sides."""

ENGINE = "the engine tree with its serve recipe, and the vLLM recipe beside it"
VLLM = "the vLLM recipe and the checkpoint"
NOTHING = "nothing to deploy; the report is kept"


class Verdict(Frozen):
    """What was decided, why, and by which row."""

    verdict: VerdictName
    row: str = Field(description="Id of the row of the table that matched.")
    publishes: str = Field(description="What a release carries for it.")
    reasons: tuple[str, ...] = Field(description="Sentences with numbers; the first one decided.")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: matches where every named condition has one of its outcomes; others may be anything."""

    id: str
    when: Mapping[str, tuple[str, ...]]
    verdict: VerdictName
    publishes: str
    decided_by: tuple[str, ...]
    meaning: str

    def matches(self, outcomes: Mapping[str, str]) -> bool:
        """Whether this row is the one for these outcomes."""
        return all(outcomes[condition] in accepted for condition, accepted in self.when.items())


_GO = {"baseline": ("go",)}
_SAME_TEXT = _GO | {"tokenizer": ("same",)}
_ACCURATE = _SAME_TEXT | {"regret": ("pass",), "length": ("pass",)}
_IN_TIME = _ACCURATE | {"slo": ("met",), REFERENCE_SLO: ("met",)}
_FASTER = _IN_TIME | {"speed": ("faster",)}

TABLE: tuple[Row, ...] = (
    Row(
        "baseline-suffices",
        {"baseline": ("stay",)},
        "stay-on-vllm",
        VLLM,
        ("baseline",),
        "vLLM meets the objective and an engine twice as fast would not pay; nothing is compiled",
    ),
    Row(
        "tokenizer-differs",
        _GO | {"tokenizer": ("different",)},
        "rejected",
        NOTHING,
        ("tokenizer",),
        "the engine reads or writes text differently from the checkpoint",
    ),
    Row(
        "accuracy-fails",
        _SAME_TEXT | {"regret": ("fail",)},
        "rejected",
        NOTHING,
        ("regret",),
        "the engine is not within the accuracy margin, with samples enough to show it if it were",
    ),
    Row(
        "length-fails",
        _SAME_TEXT | {"regret": ("pass", "underpowered"), "length": ("fail",)},
        "rejected",
        NOTHING,
        ("length",),
        "the engine's continuations are too short or too long",
    ),
    Row(
        "accuracy-underpowered",
        _SAME_TEXT | {"regret": ("underpowered",), "length": ("pass", "underpowered")},
        "inconclusive",
        NOTHING,
        ("regret",),
        "too few samples to tell whether the engine is accurate",
    ),
    Row(
        "length-underpowered",
        _SAME_TEXT | {"regret": ("pass",), "length": ("underpowered",)},
        "inconclusive",
        NOTHING,
        ("length",),
        "too few continuations to tell whether they have the right length",
    ),
    Row(
        "speed-not-measured",
        _ACCURATE | {"speed": ("not-measured",)},
        "inconclusive",
        NOTHING,
        ("speed",),
        "the engine is accurate, but no round was timed",
    ),
    Row(
        "slo-missed",
        _ACCURATE | {"slo": ("missed",), REFERENCE_SLO: ("met",)},
        "stay-on-vllm",
        VLLM,
        ("slo",),
        "the engine misses the service level objective, which vLLM meets",
    ),
    Row(
        "slo-missed-by-both",
        _ACCURATE | {"slo": ("missed",), REFERENCE_SLO: ("missed",)},
        "stay-on-vllm",
        VLLM,
        ("slo",),
        "both miss the service level objective: compiling does not help; other hardware or less load may",
    ),
    Row(
        "slo-met-by-engine-alone",
        _ACCURATE | {"slo": ("met",), REFERENCE_SLO: ("missed",)},
        "compile",
        ENGINE,
        ("slo",),
        "accurate, and meets the service level objective, which vLLM misses, at whatever ratio and price",
    ),
    Row(
        "speed-noisy",
        _IN_TIME | {"speed": ("noisy",)},
        "inconclusive",
        NOTHING,
        ("speed",),
        "the interval straddles the bar and the time budget is spent",
    ),
    Row(
        "not-faster",
        _IN_TIME | {"speed": ("not-faster",)},
        "stay-on-vllm",
        VLLM,
        ("speed",),
        "the engine is not faster by as much as the spec asks",
    ),
    Row(
        "does-not-pay",
        _FASTER | {"economics": ("negative",), "compile": ("when-justified",)},
        "stay-on-vllm",
        VLLM,
        ("economics",),
        "the engine is faster, but costs more than it saves at the declared load",
    ),
    Row(
        "pays",
        _FASTER | {"economics": ("positive",)},
        "compile",
        ENGINE,
        ("speed", "economics"),
        "accurate, in time, faster than the bar, and worth its upkeep",
    ),
    Row(
        "always-compile",
        _FASTER | {"economics": ("negative",), "compile": ("always",)},
        "compile",
        ENGINE,
        ("speed", "economics"),
        "accurate, in time and faster; it does not pay, but the spec says compile: always",
    ),
)


class TimedOutcomes(Frozen):
    """The outcome of every gate that reads timed rounds."""

    slo: SloOutcome
    speed: SpeedOutcome
    economics: EconomicsOutcome


class Outcomes(Frozen):
    """The outcome of every gate of one judged engine."""

    tokenizer: TokenizerOutcome
    regret: RegretOutcome
    length: LengthOutcome
    timed: TimedOutcomes | NotMeasured = Field(
        description="Gates that read rounds; none where none was timed."
    )
    compile_mode: Literal["when-justified", "always"]

    def conditions(self) -> dict[str, str]:
        """The conditions of the table."""
        answers = {name: str(getattr(self, name).outcome) for name in ("tokenizer", "regret", "length")}
        if isinstance(self.timed, NotMeasured):
            timed = dict.fromkeys(TIMED_CONDITIONS, str(self.timed.outcome))
        else:
            timed = {name: str(getattr(self.timed, name).outcome) for name in TIMED}
            timed[REFERENCE_SLO] = "met" if self.timed.slo.reference_meets else "missed"
        return {"baseline": "go", "compile": self.compile_mode} | answers | timed

    def reasons(self) -> dict[str, str]:
        """One sentence per gate; one for all of them where no round was made."""
        answers = {name: str(getattr(self, name).reason) for name in ("tokenizer", "regret", "length")}
        if isinstance(self.timed, NotMeasured):
            return answers | {"speed": self.timed.reason}
        return answers | {name: str(getattr(self.timed, name).reason) for name in TIMED}


def row_for(outcomes: Mapping[str, str]) -> Row:
    """The one row that matches; `outcomes` has a value for every condition."""
    (row,) = [row for row in TABLE if row.matches(outcomes)]
    return row


def decide(outcomes: Outcomes) -> Verdict:
    """The verdict on a judged engine; the reasons that decided come first, the other gates after them."""
    row = row_for(outcomes.conditions())
    reasons = outcomes.reasons()
    ordered = [*row.decided_by, *(gate for gate in reasons if gate not in row.decided_by)]
    return Verdict(
        verdict=row.verdict,
        row=row.id,
        publishes=row.publishes,
        reasons=tuple(reasons[gate] for gate in ordered),
    )


def decide_baseline(stay: Stay) -> Verdict:
    """The verdict where the baseline suffices and nothing was compiled."""
    row = TABLE[0]
    return Verdict(verdict=row.verdict, row=row.id, publishes=row.publishes, reasons=(stay.reason,))


def all_combinations() -> Iterator[dict[str, str]]:
    """Every combination of outcomes that there is: rounds are made for all that reads them, or for none."""
    for values in product(*CONDITIONS.values()):
        outcomes = dict(zip(CONDITIONS, values, strict=True))
        if len({outcomes[name] == "not-measured" for name in TIMED_CONDITIONS}) == 1:
            yield outcomes


def markdown_table() -> str:
    """The table as `docs/verdicts.md` holds it."""
    lines = [
        "# Verdicts",
        "",
        (
            "Rendered from `tasks/judging/decide/verdict.py`; `-` means any "
            "outcome. Exactly one row matches every combination."
        ),
        "",
        f"| row | {' | '.join(CONDITIONS)} | verdict | meaning |",
        f"| --- |{' --- |' * len(CONDITIONS)} --- | --- |",
    ]
    for row in TABLE:
        cells = " | ".join(" or ".join(row.when.get(condition, ("-",))) for condition in CONDITIONS)
        lines.append(f"| {row.id} | {cells} | **{row.verdict}** | {row.meaning} |")
    lines += ["", "What a release carries:", ""]
    lines += [f"- `{name}`: {published}." for name, published in _published().items()]
    return "\n".join(lines) + "\n"


def _published() -> dict[str, str]:
    return {
        name: next(row.publishes for row in TABLE if row.verdict == name) for name in get_args(VerdictName)
    }


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
