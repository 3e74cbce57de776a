"""The gate `length`: whether greedy continuations are as long as the reference's."""

from collections.abc import Sequence
from statistics import fmean, pstdev

from pydantic import Field

from tasks.judging.gates.figures import Shown, Tile, interval_figure
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, LengthSample
from tasks.judging.statistics import length_ratio_interval, samples_for_spread, samples_for_zero_regret

# Bounds of exactly 1 tolerate no difference, so no number of samples is enough; this keeps it finite.
SMALLEST_DISTANCE = 1e-6


class LengthOutcome(SampledOutcome):
    """Mean length of greedy continuations against its bounds."""

    ratio: Interval = Field(description="Engine / reference.")


class LengthGate(Gate[LengthOutcome]):
    """The gate; see the module."""

    name = "length"
    asks = "answers"
    section = "Accuracy"
    conditions = (Condition("length", ("pass", "fail", "underpowered")),)
    outcome_type = LengthOutcome
    of_references = True
    rules = (
        Rule(
            "length-fails",
            {"length": ("fail",)},
            "rejected",
            "the engine's continuations are too short or too long",
        ),
        Rule(
            "length-underpowered",
            {"length": ("underpowered",)},
            "inconclusive",
            "too few continuations to tell whether they have the right length",
        ),
    )

    def judge(self, evidence: Evidence) -> LengthOutcome:
        """Judge whether both bounds of the ratio are within the declared ones."""
        return judge_lengths(evidence.accuracy.lengths, evidence.protocol.accuracy)

    def show(self, outcome: LengthOutcome, evidence: Evidence) -> Shown:
        """Show the ratio of lengths."""
        gate, ratio = evidence.protocol.accuracy.gate, outcome.ratio
        limit = f"{gate.min_length_ratio:g} to {gate.max_length_ratio:g}"
        note = f"between {ratio.lower:.3f} and {ratio.upper:.3f}, {outcome.samples} texts"
        return Shown(
            (interval_figure("accuracy: length", "x vLLM's", ratio, "{:.3f}", limit=limit),),
            (Tile("Length of continuations", f"{ratio.estimate:.3f}", "x reference", note, leads=True),),
        )


def judge_lengths(samples: Sequence[LengthSample], plan: AccuracyPlan) -> LengthOutcome:
    """Judge the ratio of mean lengths against its two bounds."""
    pairs = [(sample.engine_tokens, sample.reference_tokens) for sample in samples]
    interval = length_ratio_interval(pairs, longest=plan.length_max_tokens, confidence=plan.gate.confidence)
    needed = _length_samples_needed(pairs, plan)
    outcome: Tested = "fail"
    if plan.gate.min_length_ratio <= interval.lower and interval.upper <= plan.gate.max_length_ratio:
        outcome = "pass"
    elif (
        len(samples) < needed
        and interval.upper >= plan.gate.min_length_ratio
        and interval.lower <= plan.gate.max_length_ratio
    ):
        outcome = "underpowered"
    found = (
        f"Greedy continuations are {interval.estimate:.3f} times as long as the reference's, at "
        f"{plan.gate.confidence:.0%} confidence each between {interval.lower:.3f} and {interval.upper:.3f} "
        f"({len(samples)} texts); the bounds are {plan.gate.min_length_ratio:g} "
        f"and {plan.gate.max_length_ratio:g}"
    )
    ends = {
        "pass": "within them.",
        "fail": "not within them.",
        "underpowered": f"too few texts to tell: {needed} would be enough.",
    }
    return LengthOutcome(
        outcome=outcome,
        reason=f"{found}: {ends[outcome]}",
        ratio=interval,
        samples=len(samples),
        samples_needed=needed if outcome == "underpowered" else min(needed, len(samples)),
    )


def _length_samples_needed(pairs: Sequence[tuple[int, int]], plan: AccuracyPlan) -> int:
    """Return the texts with which an engine of equal lengths and equal noise would pass with 80 % power."""
    mean = fmean(reference for _, reference in pairs)
    distance = max(min(1 - plan.gate.min_length_ratio, plan.gate.max_length_ratio - 1), SMALLEST_DISTANCE)
    spread = pstdev([(engine - reference) / mean for engine, reference in pairs])
    # Even with equal lengths, the bound assumes one extra pair, (longest, 1): how much weight may it have?
    weight = mean * distance / (plan.length_max_tokens - 1 - distance + mean * distance)
    flat = samples_for_zero_regret(margin=weight, cap=1.0, confidence=plan.gate.confidence)
    return max(flat, samples_for_spread(spread=spread, distance=distance, confidence=plan.gate.confidence))
