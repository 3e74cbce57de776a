"""The gate `tokenizer`: both servers must read and write every text alike, timed or not."""

from collections.abc import Sequence
from typing import Literal

from tasks.judging.gates.figures import Figure, Shown, Tile
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.results import TokenizerCheck


class TokenizerOutcome(GateOutcome):
    """The comparison of texts that went through both servers."""

    outcome: Literal["same", "different"]
    texts: int


class TokenizerGate(Gate[TokenizerOutcome]):
    """The gate; see the module."""

    name = "tokenizer"
    asks = "answers"
    section = "Accuracy"
    conditions = (Condition("tokenizer", ("same", "different")),)
    outcome_type = TokenizerOutcome
    rules = (
        Rule(
            "tokenizer-differs",
            {"tokenizer": ("different",)},
            "rejected",
            "the engine reads or writes text differently from the checkpoint",
        ),
    )

    def judge(self, evidence: Evidence) -> TokenizerOutcome:
        """Judge whether every text is read and written the same."""
        return judge_tokenizer(evidence.accuracy.tokenizer)

    def show(self, outcome: TokenizerOutcome, evidence: Evidence) -> Shown:
        """Show how many texts differ."""
        differing = str(len(_differing(evidence.accuracy.tokenizer)))
        return Shown(
            (Figure("tokenizer: texts that differ", "texts", differing, limit="0"),),
            (Tile("Tokenizer", outcome.outcome, note=f"{outcome.texts} texts through both servers"),),
        )


def judge_tokenizer(checks: Sequence[TokenizerCheck]) -> TokenizerOutcome:
    """Judge that every text is read and written the same on both servers."""
    failed = _differing(checks)
    if not failed:
        reason = f"All {len(checks)} texts are the same on both servers, as ids and as text."
        return TokenizerOutcome(outcome="same", reason=reason, texts=len(checks))
    first = failed[0]
    reason = f"{len(failed)} of {len(checks)} texts differ, such as {first.text!r}: {first.detail}."
    return TokenizerOutcome(outcome="different", reason=reason, texts=len(checks))


def _differing(checks: Sequence[TokenizerCheck]) -> list[TokenizerCheck]:
    return [check for check in checks if not (check.same_ids and check.same_text)]
