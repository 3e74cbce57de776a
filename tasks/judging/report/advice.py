"""The first lines of a report: three sentences, and how to get what was decided. Pure.

What to do, whether it is safe, and what it is worth. All numbers and reasons are below, next to their gates.
"""

import re
from dataclasses import dataclass

from tasks.judging.decide import Stay, Verdict, verdict_table
from tasks.judging.gates import VerdictName, all_gates
from tasks.judging.judgement import JudgedResult, Subject

DO: dict[VerdictName, str] = {
    "compile": "Serve this engine instead of vLLM.",
    "stay-on-vllm": "Stay on vLLM.",
    "rejected": "Do not serve this engine; stay on vLLM.",
    "inconclusive": "Change nothing yet: stay on vLLM, and measure again once the reason below is gone.",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reader wants to know first.

    Attributes:
        do: what to do.
        safe: whether the engine's answers can be trusted.
        worth: what decided.
        pull: the command that installs what the verdict publishes; empty if it publishes nothing.
    """

    do: str
    safe: str
    worth: str
    pull: str


def advice_on(result: JudgedResult) -> Advice:
    """Return the advice on an engine that was judged."""
    return Advice(
        do=DO[result.verdict.verdict],
        safe=_safe(result),
        worth=_worth(result),
        pull=_pull(result.subject, result.verdict),
    )


def advice_without_engine(subject: Subject, verdict: Verdict, stay: Stay) -> Advice:
    """Return the advice if nothing was compiled."""
    more = f"{abs(stay.economics.net_usd):,.0f} USD a month more at the declared load"
    return Advice(
        do=DO[verdict.verdict],
        safe="Nothing was compiled, so nothing can be wrong with it.",
        worth=f"vLLM meets the objective, and even an engine as fast as can be hoped would cost {more}.",
        pull=_pull(subject, verdict),
    )


def _safe(result: JudgedResult) -> str:
    judged = result.outcomes.gates
    gates = [gate for gate in all_gates() if gate.asks == "answers" and gate.name in judged]
    open_ = [gate.name for gate in gates if gate.rule_for(judged[gate.name]) is not None]
    if open_:
        return f"The engine's answers were not accepted by {_and(open_)}."
    asked = _and([gate.name for gate in gates])
    return f"The engine's answers are as good as vLLM's, as far as {asked} can show."


def _worth(result: JudgedResult) -> str:
    """Return what the gates found that decided, as one sentence."""
    row = next(row for row in verdict_table() if row.id == result.verdict.row)
    clauses = {gate.name: shown.clause for gate, shown in result.shown()}
    found = [clause for name in row.decided_by if (clause := clauses.get(name))]
    if not found:
        return _first_sentence(result.verdict.reasons[0])
    # A clause is about the engine; the first sentence of an advice may be about vLLM.
    sentence = re.sub("^it ", "the engine ", ", and ".join(found))
    return f"{sentence[0].upper()}{sentence[1:]}."


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?]) (?=[A-Z])", text)[0]


def _pull(subject: Subject, verdict: Verdict) -> str:
    if verdict.verdict not in ("compile", "stay-on-vllm"):
        return ""
    name = subject.spec.partition(" ")[0]
    return f"enginery pull {name} --to ./engines --variant {subject.variant}"


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
