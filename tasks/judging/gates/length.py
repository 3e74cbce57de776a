"""The gate `length`: whether greedy answers end where the reference's do.

Three things are compared:

- the mean length, over the texts of which at least one side ended its answer. Answers that both sides
  continue up to the limit say nothing about where a side ends an answer: with them, an engine that never ends
  one would pass if the reference rarely does;
- the share of answers that a side ends by itself before the limit: one that is cut just below it is hardly
  shorter than one that goes on;
- ends after the same tokens: there, nothing but the engine's own stopping can differ. The same holds for an
  answer that was to have a number of tokens, whatever they are, and has fewer.
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
from tasks.judging.statistics import (
    length_ratio_interval,
    samples_to_pass,
    share_difference_interval,
    share_interval,
)

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
    ended_more: Interval = Field(
        description="Share of answers that the engine ended before the limit, less that of the reference."
    )
    misplaced: int = Field(
        description="Answers that end elsewhere than the reference's after the same tokens."
    )
    cut: int = Field(description="Answers that were to have a number of tokens, and have fewer.")


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
        """Judge the mean length, the share of answers that ended, and ends after the same tokens."""
        cut = sum(sample.is_cut for sample in evidence.accuracy.samples)
        return judge_lengths(evidence.accuracy.lengths, evidence.protocol.accuracy, cut=cut)

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


def judge_lengths(samples: Sequence[LengthSample], plan: AccuracyPlan, *, cut: int = 0) -> LengthOutcome:
    """Judge where answers end; `cut` of all that were to have a number of tokens have fewer."""
    longest, gate = plan.length_max_tokens, plan.gate
    pairs = [(sample.engine_tokens, sample.reference_tokens) for sample in samples]
    counted = [pair for pair in pairs if min(pair) < longest]
    ended = sum(reference < longest for _, reference in pairs)
    found = _Found(samples, plan, gate.confidence)
    # Two comparisons may accuse the engine, so each has half of that error.
    sure = _Found(samples, plan, 1 - (1 - gate.confidence) / 2)
    needed = _length_samples_needed(counted or pairs, plan)
    needed = math.ceil(max(needed / max(len(counted), 1), ENDED_NEEDED / max(ended, 1)) * len(pairs))
    stops = _Stops(samples, cut, gate)
    outcome = _outcome(found, sure, stops, enough=ended >= ENDED_NEEDED)
    counts = (len(pairs), len(counted), ended)
    return LengthOutcome(
        outcome=outcome,
        reason=f"{stops.reason}{_length_reason(outcome, found, plan, counts, needed)}",
        ratio=found.ratio,
        ended=ended,
        ended_more=found.ended_more,
        misplaced=stops.misplaced,
        cut=cut,
        samples=len(pairs),
        samples_needed=needed,
    )


class _Found:
    """Both comparisons of lengths, at one confidence."""

    def __init__(self, samples: Sequence[LengthSample], plan: AccuracyPlan, confidence: float) -> None:
        longest, gate = plan.length_max_tokens, plan.gate
        pairs = [(sample.engine_tokens, sample.reference_tokens) for sample in samples]
        # Without any answer that ended, all are equally long.
        counted = [pair for pair in pairs if min(pair) < longest] or pairs
        self.ratio = length_ratio_interval(counted, longest=longest, confidence=confidence)
        self.ended_more = share_difference_interval(
            [(engine < longest, reference < longest) for engine, reference in pairs], confidence=confidence
        )
        limits = (gate.min_length_ratio, gate.max_length_ratio)
        self._tests = (
            _within(self.ratio, *limits),
            _within(self.ended_more, 1 - gate.max_length_ratio, 1 - gate.min_length_ratio),
        )

    @property
    def all_pass(self) -> bool:
        return set(self._tests) == {"pass"}

    @property
    def any_fails(self) -> bool:
        return "fail" in self._tests


class _Stops:
    """Answers that end where only the engine's own stopping can be the reason."""

    def __init__(self, samples: Sequence[LengthSample], cut: int, gate: AccuracyGate) -> None:
        known = [sample.end for sample in samples if sample.end != "apart"]
        early, late = known.count("early"), known.count("late")
        self.misplaced = early + late
        self.any = bool(cut or self.misplaced)
        share = share_interval(self.misplaced, max(len(known), 1), gate.confidence)
        # One answer of a fixed number of tokens that has fewer is one too many.
        self.are_shown = bool(cut) or share.lower > gate.max_gross_error_share
        self.reason = self._words(early, late, len(known), cut) if self.any else ""

    def _words(self, early: int, late: int, known: int, cut: int) -> str:
        misplaced = (
            f"After the same tokens as the reference, the engine ended {early} of {known} answers where the "
            f"reference goes on, and went on in {late} that the reference ends. "
        )
        short = f"{cut} answers that were to have a number of tokens, whatever they are, have fewer. "
        return misplaced * bool(self.misplaced) + short * bool(cut)


def _outcome(found: _Found, sure: _Found, stops: _Stops, *, enough: bool) -> Tested:
    if sure.any_fails or stops.are_shown:
        return "fail"
    return "pass" if found.all_pass and enough and not stops.any else "underpowered"


def _within(interval: Interval, least: float, most: float) -> Tested:
    if least <= interval.lower and interval.upper <= most:
        return "pass"
    return "fail" if interval.upper < least or interval.lower > most else "underpowered"


def _length_samples_needed(pairs: Sequence[tuple[int, int]], plan: AccuracyPlan) -> int:
    """Return the texts with which an engine half as far off as it may be passes with 80 % power."""
    mean = fmean(reference for _, reference in pairs)
    half = max(min(1 - plan.gate.min_length_ratio, plan.gate.max_length_ratio - 1) / 2, SMALLEST_DISTANCE)
    spread = pstdev([(engine - reference) / mean for engine, reference in pairs])
    # The bound adds one pair, (longest, 1).
    worst = max((plan.length_max_tokens - 1) / mean, half)
    return samples_to_pass(spread=spread, distance=half, worst=worst, confidence=plan.gate.confidence)


def _length_reason(
    outcome: Tested, found: _Found, plan: AccuracyPlan, counts: tuple[int, int, int], needed: int
) -> str:
    (texts, counted, ended), longest, gate = counts, plan.length_max_tokens, plan.gate
    said = f"The reference ended {ended} of {texts} answers before {longest} tokens"
    if outcome == "underpowered" and ended < ENDED_NEEDED:
        return (
            f"{said}; {ENDED_NEEDED} are needed to compare where answers end. In validation.accuracy, raise "
            f"samples and length_samples to {needed} or more, or declare stop_token_ids if requests have any."
        )
    ratio, more = found.ratio, found.ended_more
    ends = {
        "pass": "within them.",
        "fail": "one of the two is shown to be outside.",
        "underpowered": undecided(texts, needed),
    }
    return (
        f"{said}; the engine {_more_or_less(more.estimate)} of them, at {gate.confidence:.0%} confidence "
        f"each between {more.lower:+.1%} and {more.upper:+.1%}. Its answers are {ratio.estimate:.3f} times "
        f"as long, between {ratio.lower:.3f} and {ratio.upper:.3f} (over {counted} texts of which a side "
        f"ended the answer); the bounds are {gate.min_length_ratio:g} and {gate.max_length_ratio:g}, and as "
        f"far from 0 for the share that ended: {ends[outcome]}"
    )


def _more_or_less(share: float) -> str:
    return f"{abs(share):.1%} {'more' if share >= 0 else 'fewer'}"
