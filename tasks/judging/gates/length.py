"""The gate `length`: whether greedy continuations are as long as the reference's."""

from collections.abc import Sequence
from statistics import fmean, pstdev

from pydantic import Field

from engine_specs.spec import AccuracyGate
from tasks.judging.gates.figures import Shown, Tile, interval_figure
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested, undecided
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, LengthSample
from tasks.judging.statistics import length_ratio_interval, samples_to_pass

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
            "the engine's continuations were shown to be too short or too long",
        ),
        Rule(
            "length-underpowered",
            {"length": ("underpowered",)},
            "inconclusive",
            "the engine's continuations were shown to be neither of the right length nor of a wrong one",
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
    outcome = _tested(interval, plan.gate)
    ends = {
        "pass": "within them.",
        "fail": "even the bound that is nearer to them is outside.",
        "underpowered": undecided(len(samples), needed),
    }
    return LengthOutcome(
        outcome=outcome,
        reason=(
            f"Greedy continuations are {interval.estimate:.3f} times as long as the reference's, at "
            f"{plan.gate.confidence:.0%} confidence each between {interval.lower:.3f} and "
            f"{interval.upper:.3f} ({len(samples)} texts); the bounds are {plan.gate.min_length_ratio:g} "
            f"and {plan.gate.max_length_ratio:g}: {ends[outcome]}"
        ),
        ratio=interval,
        samples=len(samples),
        samples_needed=needed,
    )


def _tested(interval: Interval, gate: AccuracyGate) -> Tested:
    if gate.min_length_ratio <= interval.lower and interval.upper <= gate.max_length_ratio:
        return "pass"
    outside = interval.upper < gate.min_length_ratio or interval.lower > gate.max_length_ratio
    return "fail" if outside else "underpowered"


def _length_samples_needed(pairs: Sequence[tuple[int, int]], plan: AccuracyPlan) -> int:
    """Return the texts with which an engine half as far off as it may be passes with 80 % power."""
    mean = fmean(reference for _, reference in pairs)
    half = max(min(1 - plan.gate.min_length_ratio, plan.gate.max_length_ratio - 1) / 2, SMALLEST_DISTANCE)
    spread = pstdev([(engine - reference) / mean for engine, reference in pairs])
    # The bound adds one pair, (longest, 1).
    worst = max((plan.length_max_tokens - 1) / mean, half)
    return samples_to_pass(spread=spread, distance=half, worst=worst, confidence=plan.gate.confidence)
