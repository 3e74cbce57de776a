"""The first lines of a report: what to do, whether it is safe, what it is worth, and how to get it. Pure."""

from dataclasses import dataclass

from tasks.judging.decide import Verdict, verdict_table
from tasks.judging.gates import VerdictName, all_gates
from tasks.judging.judgement import JudgedResult, Subject

DO: dict[VerdictName, str] = {
    "compile": "Serve this engine instead of vLLM.",
    "stay-on-vllm": "Stay on vLLM.",
    "rejected": "Do not serve this engine. Stay on vLLM.",
    "inconclusive": "Change nothing yet. Stay on vLLM, and measure again once the reason below is gone.",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reader wants to know first.

    Attributes:
        do: what to do.
        safe: whether the engine's answers can be trusted.
        worth: what decided, with its numbers.
        pull: the command that installs what the verdict publishes; empty if it publishes nothing.
    """

    do: str
    safe: str
    worth: tuple[str, ...]
    pull: str


def advice_on(result: JudgedResult) -> Advice:
    """Return the advice on an engine that was judged."""
    return Advice(
        do=DO[result.verdict.verdict],
        safe=_safe(result),
        worth=_deciding(result.verdict),
        pull=_pull(result.subject, result.verdict),
    )


def advice_without_engine(subject: Subject, verdict: Verdict) -> Advice:
    """Return the advice if nothing was compiled."""
    safe = "Nothing was compiled, so nothing can be wrong with it."
    return Advice(do=DO[verdict.verdict], safe=safe, worth=verdict.reasons, pull=_pull(subject, verdict))


def _safe(result: JudgedResult) -> str:
    judged = result.outcomes.gates
    gates = [gate for gate in all_gates() if gate.asks == "answers" and gate.name in judged]
    open_ = [gate.name for gate in gates if gate.rule_for(judged[gate.name]) is not None]
    if open_:
        return f"Its answers were not accepted by {_and(open_)}."
    return f"Its answers are as good as vLLM's, as far as {_and([gate.name for gate in gates])} can tell."


def _deciding(verdict: Verdict) -> tuple[str, ...]:
    """Return the reasons of the gates that decided."""
    row = next(row for row in verdict_table() if row.id == verdict.row)
    return verdict.reasons[: len(row.decided_by)]


def _pull(subject: Subject, verdict: Verdict) -> str:
    if verdict.verdict not in ("compile", "stay-on-vllm"):
        return ""
    name = subject.spec.partition(" ")[0]
    return f"enginery pull {name} --to ./engines --variant {subject.variant}"


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
