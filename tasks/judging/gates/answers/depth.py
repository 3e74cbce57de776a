"""The gate `depth`: whether the engine is as accurate late in an answer, and after a long context.

The mean over all texts is that of what most requests are like. An engine that writes garbage beyond some
length is within the margin of that mean if few tokens lie there, however useless it is to those who go so
far.
"""

import math
from collections.abc import Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import AccuracyGate
from tasks.judging.gates.figures import Figure, Shown, Tile, interval_figure, use_of_most
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, RegretSample
from tasks.judging.statistics import (
    Span,
    part_interval,
    part_limit,
    part_texts_to_pass,
    spans_of,
    units_of,
)

ORDER: tuple[Tested, ...] = ("fail", "underpowered", "pass")
"""What decides first."""


class Part(Frozen):
    """Tokens at like places, and their regret."""

    name: str = Field(description="Which tokens.")
    texts: int = Field(ge=0, description="Texts that have some of them.")
    tokens: int = Field(ge=0, description="Their number in all texts.")
    regret_nats: Interval | None = Field(description="Mean regret per token; null if no text reaches them.")
    outcome: Tested
    texts_needed: int = Field(
        description="Texts with which an engine at half the margin in this part passes with 80 % power."
    )


class DepthOutcome(SampledOutcome):
    """Mean regret of each later part; the samples are the texts of the part that decides."""

    parts: tuple[Part, ...] = Field(min_length=1, description="The part that decides comes first.")
    checked_tokens: int = Field(description="Tokens of the longest context and answer that were scored.")
    allowed_tokens: int = Field(description="Tokens that the shape allows.")


class DepthGate(Gate[DepthOutcome]):
    """The gate; see the module."""

    name = "depth"
    asks = "answers"
    section = "Accuracy"
    conditions = (Condition("depth", ("pass", "fail", "underpowered")),)
    outcome_type = DepthOutcome
    of_references = True
    rules = (
        Rule(
            "depth-fails",
            {"depth": ("fail",)},
            "rejected",
            "the engine was shown to be beyond the accuracy margin late in answers or after long contexts",
        ),
        Rule(
            "depth-underpowered",
            {"depth": ("underpowered",)},
            "inconclusive",
            "it was not shown whether the engine is accurate late in answers and after long contexts",
        ),
    )

    def judge(self, evidence: Evidence) -> DepthOutcome:
        """Judge each later part of answers and contexts by itself."""
        return judge_depth(evidence.accuracy.samples, evidence.protocol.accuracy)

    def show(self, outcome: DepthOutcome, evidence: Evidence) -> Shown:
        """Show the part that decides, and how much of the shape was checked."""
        gate, worst = evidence.protocol.accuracy.gate, outcome.parts[0]
        share = outcome.checked_tokens / outcome.allowed_tokens
        note = f"{outcome.checked_tokens:,} of {outcome.allowed_tokens:,} tokens that the shape allows"
        checked = Tile("Context checked", f"{100 * share:.1f}", "%", note)
        coverage = Figure("accuracy: context checked", "share", f"{share:.3f}", decisive=False)
        if worst.regret_nats is None:
            return Shown((coverage,), (checked,))
        limit, regret = part_limit(gate), worst.regret_nats
        bound = f"{worst.name}: upper bound {regret.upper:.4f}, limit {limit:g}"
        return Shown(
            (
                interval_figure(
                    "accuracy: worst part",
                    "nats/token",
                    regret,
                    "{:.5f}",
                    limit=f"upper ≤ {limit:g}",
                    use=use_of_most(regret, limit),
                ),
                coverage,
            ),
            (Tile("Regret of the worst part", f"{regret.estimate:.5f}", "nats/token", bound), checked),
        )


def judge_depth(samples: Sequence[RegretSample], plan: AccuracyPlan) -> DepthOutcome:
    """Judge the later parts: each must be shown to be within its limit, and none to be beyond the margin."""
    spans = spans_of(plan)
    parts = sorted(
        (_part(span, samples, plan.gate, len(spans)) for span in spans),
        key=lambda part: (ORDER.index(part.outcome), -_bound(part)),
    )
    checked = max(sample.context_tokens + len(sample.engine_tokens) for sample in samples)
    worst = parts[0]
    return DepthOutcome(
        outcome=worst_of([part.outcome for part in parts]),
        reason=f"{_reason(worst, parts, plan, len(samples))} {_coverage(checked, plan.context_limit)}",
        parts=tuple(parts),
        checked_tokens=checked,
        allowed_tokens=plan.context_limit,
        samples=worst.texts,
        samples_needed=worst.texts_needed,
    )


def _part(span: Span, samples: Sequence[RegretSample], gate: AccuracyGate, parts: int) -> Part:
    units = units_of(span, samples)
    regret = part_interval(units, gate, parts=parts) if units else None
    return Part(
        name=span.name,
        texts=len(units),
        tokens=round(sum(number for _, number in units)),
        regret_nats=regret,
        outcome=tested_part(regret, gate),
        texts_needed=part_texts_to_pass(units or [(0.0, 1.0)], gate),
    )


def tested_part(regret: Interval | None, gate: AccuracyGate) -> Tested:
    """Return what an interval shows of one part; if no text reaches it, nothing."""
    if regret is None:
        return "underpowered"
    if regret.lower > gate.max_regret_nats_per_token:
        return "fail"
    return "pass" if regret.upper <= part_limit(gate) else "underpowered"


def worst_of(outcomes: Sequence[Tested]) -> Tested:
    """Return what the outcomes of all parts mean together."""
    return min(outcomes, key=ORDER.index)


def _bound(part: Part) -> float:
    """Return the bound by which the part was tested."""
    if part.regret_nats is None:
        return math.inf
    return part.regret_nats.lower if part.outcome == "fail" else part.regret_nats.upper


def _reason(worst: Part, parts: Sequence[Part], plan: AccuracyPlan, texts: int) -> str:
    gate, regret = plan.gate, worst.regret_nats
    if regret is None:
        return f"No text has {worst.name}, so nothing is known of them. {_remedy(worst, gate, texts)}"
    place = f"{worst.name}, {regret.estimate:.5f} nats per token in {worst.texts} texts"
    limit = part_limit(gate)
    if worst.outcome == "fail":
        return (
            f"Regret grows with depth or context: for {place}, and even the lower bound {regret.lower:.5f}, "
            f"which holds for all {len(parts)} parts at once, is beyond the margin of "
            f"{gate.max_regret_nats_per_token:g}."
        )
    bound = f"the upper bound is {regret.upper:.5f}; the limit of a part is {limit:g}"
    if worst.outcome == "pass":
        return (
            f"Regret does not grow with depth or context: of {len(parts)} parts, the largest bound is for "
            f"{place}: {bound}."
        )
    return f"Regret may grow with depth or context: for {place}, {bound}. {_remedy(worst, gate, texts)}"


def _remedy(part: Part, gate: AccuracyGate, texts: int) -> str:
    """Say how many texts a part needs, and what to declare so that it gets them."""
    few = min(gate.depth_samples, max(1, texts // 3))
    enough = math.ceil(few * part.texts_needed / max(part.texts, 1))
    return (
        f"An engine at half the margin needs {part.texts_needed} texts there to pass with 80 % power: in "
        f"validation.accuracy, declare depth_samples: {max(enough, few + 1)} and three times as many samples."
    )


def _coverage(checked: int, allowed: int) -> str:
    share = (
        f"{checked:,} of the {allowed:,} tokens that the shape allows were checked ({checked / allowed:.1%})"
    )
    # The reference has to generate one token when it scores.
    beyond = "" if checked >= allowed - 1 else "; nothing is known beyond"
    return f"{share}{beyond}."
