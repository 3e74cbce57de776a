"""The gate `length`: whether greedy continuations are as long as the reference's.

Answers that both sides continue up to the limit say nothing about where a side ends an answer, so they do not
count: with them, an engine that never ends an answer would pass if the reference rarely does.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from pydantic import Field

from engine_specs.spec import AccuracyGate
from tasks.judging.gates.figures import Shown, Tile, interval_figure, use_of_band
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested, undecided
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, LengthSample
from tasks.judging.statistics import length_ratio_interval, samples_to_pass

# Bounds of exactly 1 tolerate no difference, so no number of samples is enough; this keeps it finite.
SMALLEST_DISTANCE = 1e-6
# With fewer answers that end, the mean length is that of a few texts, and an interval says little.
ENDED_NEEDED = 30


class LengthOutcome(SampledOutcome):
    """Mean length of greedy continuations against its bounds."""

    ratio: Interval = Field(
        description="Engine / reference, over the texts of which at least one side ended its answer."
    )
    ended: int = Field(description="Answers that the reference ended before the limit.")


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
        use = use_of_band(ratio, gate.min_length_ratio, gate.max_length_ratio)
        limit = f"{gate.min_length_ratio:g} to {gate.max_length_ratio:g}"
        ended = f"{outcome.ended} of {outcome.samples} answers ended"
        note = f"between {ratio.lower:.3f} and {ratio.upper:.3f}; {ended}"
        return Shown(
            (interval_figure("accuracy: length", "x vLLM's", ratio, "{:.3f}", limit=limit, use=use),),
            (Tile("Length of continuations", f"{ratio.estimate:.3f}", "x reference", note, leads=True),),
        )


def judge_lengths(samples: Sequence[LengthSample], plan: AccuracyPlan) -> LengthOutcome:
    """Judge the ratio of mean lengths against its two bounds."""
    longest, gate = plan.length_max_tokens, plan.gate
    pairs = [(sample.engine_tokens, sample.reference_tokens) for sample in samples]
    counted = [pair for pair in pairs if min(pair) < longest]
    ended = sum(reference < longest for _, reference in pairs)
    # Without any answer that ended, all are equally long.
    interval = length_ratio_interval(counted or pairs, longest=longest, confidence=gate.confidence)
    needed = _length_samples_needed(counted or pairs, plan)
    needed = math.ceil(max(needed / max(len(counted), 1), ENDED_NEEDED / max(ended, 1)) * len(pairs))
    outcome = _tested(interval, gate)
    if outcome == "pass" and ended < ENDED_NEEDED:
        outcome = "underpowered"
    return LengthOutcome(
        outcome=outcome,
        reason=_length_reason(outcome, interval, plan, (len(pairs), len(counted), ended), needed),
        ratio=interval,
        ended=ended,
        samples=len(pairs),
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


def _length_reason(
    outcome: Tested, interval: Interval, plan: AccuracyPlan, counts: tuple[int, int, int], needed: int
) -> str:
    (texts, counted, ended), longest, gate = counts, plan.length_max_tokens, plan.gate
    found = f"The reference ended {ended} of {texts} answers before {longest} tokens"
    if outcome == "underpowered" and ended < ENDED_NEEDED:
        return (
            f"{found}; {ENDED_NEEDED} are needed to compare where answers end. In validation.accuracy, raise "
            f"samples and length_samples to {needed} or more, or declare stop_token_ids if requests have any."
        )
    ends = {
        "pass": "within them.",
        "fail": "even the bound that is nearer to them is outside.",
        "underpowered": undecided(texts, needed),
    }
    return (
        f"{found}. The engine's are {interval.estimate:.3f} times as long, at {gate.confidence:.0%} "
        f"confidence each between {interval.lower:.3f} and {interval.upper:.3f} (over {counted} texts of "
        f"which a side ended the answer); the bounds are {gate.min_length_ratio:g} and "
        f"{gate.max_length_ratio:g}: {ends[outcome]}"
    )
