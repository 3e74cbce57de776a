"""The gate `length`: whether greedy answers end where the reference's do.

Three things are compared:

- the mean length, over the texts of which at least one side ended its answer. Answers that both sides
  continue up to the limit say nothing about where a side ends an answer: with them, an engine that never ends
  one would pass if the reference rarely does;
- the share of answers that a side ends by itself before the limit: one that is cut just below it is hardly
  shorter than one that goes on;
- ends after the same tokens: there, nothing but the engine's own stopping can differ. The same holds for an
  answer that was to have a number of tokens, whatever they are, and has fewer.

Invariants:
- An engine fails if one of the three shows it, so they share that error equally: an engine that is within all
  limits is rejected in at most 1 - confidence of cases (Bonferroni). To pass, all three have to hold, each at
  the whole error, as in an intersection-union test.
- A number of tokens that was asked for is a promise and no estimate: one answer that has fewer is enough.
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
    DRAWS,
    length_ratio_interval,
    samples_to_pass,
    share_difference_interval,
    share_interval,
)

# Bounds of exactly 1 tolerate no difference, so no number of samples is enough; this keeps it finite.
SMALLEST_DISTANCE = 1e-6
WAYS_TO_FAIL = 3
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


def judge_lengths(
    samples: Sequence[LengthSample], plan: AccuracyPlan, *, cut: int = 0, draws: int = DRAWS
) -> LengthOutcome:
    """Judge where answers end; `cut` of all that were to have a number of tokens have fewer.

    `draws` are those of the bounds' quantiles.
    """
    longest, gate = plan.length_max_tokens, plan.gate
    pairs = [(sample.engine_tokens, sample.reference_tokens) for sample in samples]
    counted = [pair for pair in pairs if min(pair) < longest]
    ended = sum(reference < longest for _, reference in pairs)
    shared = 1 - (1 - gate.confidence) / WAYS_TO_FAIL
    found, sure = (_Found(samples, plan, one, draws) for one in (gate.confidence, shared))
    needed = _length_samples_needed(counted or pairs, plan)
    needed = math.ceil(max(needed / max(len(counted), 1), ENDED_NEEDED / max(ended, 1)) * len(pairs))
    stops = _Stops(samples, cut, gate, shared)
    failing = (*sure.failing, *stops.failing)
    outcome = _outcome(found, stops, fails=bool(failing), enough=ended >= ENDED_NEEDED)
    counts = (len(pairs), len(counted), ended)
    return LengthOutcome(
        outcome=outcome,
        reason=f"{stops.reason}{_length_reason(outcome, found, plan, counts, needed)}{_shown(failing)}",
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

    def __init__(
        self, samples: Sequence[LengthSample], plan: AccuracyPlan, confidence: float, draws: int
    ) -> None:
        longest, gate = plan.length_max_tokens, plan.gate
        pairs = [(sample.engine_tokens, sample.reference_tokens) for sample in samples]
        # Without any answer that ended, all are equally long.
        counted = [pair for pair in pairs if min(pair) < longest] or pairs
        self.ratio = length_ratio_interval(counted, longest=longest, confidence=confidence, draws=draws)
        self.ended_more = share_difference_interval(
            [(engine < longest, reference < longest) for engine, reference in pairs],
            confidence=confidence,
            draws=draws,
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
    def failing(self) -> tuple[str, ...]:
        """What is shown to be outside its bounds."""
        names = ("the mean length", "the share that ended")
        return tuple(name for name, test in zip(names, self._tests, strict=True) if test == "fail")


class _Stops:
    """Answers that end where only the engine's own stopping can be the reason."""

    def __init__(
        self, samples: Sequence[LengthSample], cut: int, gate: AccuracyGate, confidence: float
    ) -> None:
        known = [sample.end for sample in samples if sample.end != "apart"]
        early, late = known.count("early"), known.count("late")
        self.misplaced = early + late
        self.any = bool(cut or self.misplaced)
        share = share_interval(self.misplaced, max(len(known), 1), confidence)
        ends = share.lower > gate.max_gross_error_share
        self.failing = ("where answers end after the same tokens",) * ends + ("the cut answers",) * bool(cut)
        self.reason = self._words(early, late, len(known), cut) if self.any else ""

    def _words(self, early: int, late: int, known: int, cut: int) -> str:
        misplaced = (
            f"After the same tokens as the reference, the engine ended {early} of {known} answers where the "
            f"reference goes on, and went on in {late} that the reference ends. "
        )
        short = f"{cut} answers that were to have a number of tokens, whatever they are, have fewer. "
        return misplaced * bool(self.misplaced) + short * bool(cut)


def _outcome(found: _Found, stops: _Stops, *, fails: bool, enough: bool) -> Tested:
    if fails:
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
        "fail": "not within them.",
        "underpowered": undecided(texts, needed),
    }
    return (
        f"{said}; the engine {_more_or_less(more.estimate)} of them, at {gate.confidence:.0%} confidence "
        f"each between {more.lower:+.1%} and {more.upper:+.1%}. Its answers are {ratio.estimate:.3f} times "
        f"as long, between {ratio.lower:.3f} and {ratio.upper:.3f} (over {counted} texts of which a side "
        f"ended the answer); the bounds are {gate.min_length_ratio:g} and {gate.max_length_ratio:g}, and as "
        f"far from 0 for the share that ended: {ends[outcome]}"
    )


def _shown(failing: Sequence[str]) -> str:
    """Return what makes an engine fail, as a sentence; empty if nothing does."""
    shared = f"; {WAYS_TO_FAIL} ways to fail share the error"
    return f" Shown to be outside: {' and '.join(failing)}{shared}." if failing else ""


def _more_or_less(share: float) -> str:
    return f"{abs(share):.1%} {'more' if share >= 0 else 'fewer'}"
