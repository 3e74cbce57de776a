"""The gate `gross errors`: how many of the engine's tokens are far from anything the reference would choose.

Rare garbage hardly shows in a mean: an engine that is wrong in one request of 500 adds less to it than the
usual margin. So the share of gross errors has a limit of its own.

Rarer garbage is within any share that has to be allowed. So a single garbled answer fails as well: noise
does not make one (`statistics.garbled`), a fault does. That there is none among so many texts shows only how
rare they are at most; the outcome says it.
"""

import math
from collections.abc import Sequence
from statistics import pstdev

from pydantic import Field

from engine_specs.spec import AccuracyGate
from tasks.judging.gates.figures import Shown, Tile, Use, interval_figure, use_of_most
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested, tested, undecided
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, RegretSample
from tasks.judging.statistics import (
    GARBLED,
    gross_error_interval,
    is_garbled,
    samples_to_pass,
    share_interval,
    zeros_suffice,
)


class GrossErrorsOutcome(SampledOutcome):
    """Share of gross errors against its limit; each text is one observation."""

    share: Interval = Field(description="Mean over texts of the share of tokens that are gross errors.")
    tokens: int = Field(description="Number of gross errors.")
    texts: int = Field(description="Texts that have one or more.")
    garbled: tuple[str, ...] = Field(description="Indexes of the texts whose answers are garbled.")
    garbled_share: Interval = Field(description="Share of answers that are garbled; each text is one.")


class GrossErrorsGate(Gate[GrossErrorsOutcome]):
    """The gate; see the module."""

    name = "gross errors"
    asks = "answers"
    section = "Accuracy"
    conditions = (Condition("gross errors", ("pass", "fail", "underpowered")),)
    outcome_type = GrossErrorsOutcome
    of_references = True
    rules = (
        Rule(
            "gross-errors",
            {"gross errors": ("fail",)},
            "rejected",
            "the engine was shown to make more gross errors than it may, or to garble an answer",
        ),
        Rule(
            "gross-errors-underpowered",
            {"gross errors": ("underpowered",)},
            "inconclusive",
            "it was not shown whether the engine makes more gross errors than it may",
        ),
    )

    def has_enough_texts(self, plan: AccuracyPlan) -> bool:
        """Whether the upper bound reaches the limit if no text has a gross error."""
        limit = plan.gate.max_gross_error_share
        return zeros_suffice(plan.runs(), margin=limit, worst=1.0, confidence=plan.gate.confidence)

    def judge(self, evidence: Evidence) -> GrossErrorsOutcome:
        """Judge whether the upper bound of the share is within the limit, and no answer is garbled."""
        return judge_gross_errors(evidence.accuracy.samples, evidence.protocol.accuracy)

    def show(self, outcome: GrossErrorsOutcome, evidence: Evidence) -> Shown:
        """Show the share of tokens, and that of garbled answers."""
        share, limit = outcome.share, evidence.protocol.accuracy.gate.max_gross_error_share
        found = float(len(outcome.garbled))
        note = (
            f"upper bound {100 * share.upper:.3f} %, limit {100 * limit:g} %, in {outcome.texts} texts; "
            f"{len(outcome.garbled)} answers garbled"
        )
        return Shown(
            (
                interval_figure(
                    "accuracy: gross errors",
                    "share",
                    share,
                    "{:.5f}",
                    limit=f"upper ≤ {limit:g}",
                    use=use_of_most(share, limit),
                ),
                interval_figure(
                    "accuracy: garbled answers",
                    "share",
                    outcome.garbled_share,
                    "{:.5f}",
                    limit="none found",
                    use=Use(found, found, found),
                ),
            ),
            (Tile("Gross errors", f"{100 * share.estimate:.3f}", "% of tokens", note, leads=True),),
        )


def judge_gross_errors(samples: Sequence[RegretSample], plan: AccuracyPlan) -> GrossErrorsOutcome:
    """Judge the upper bound of the share of gross errors against the limit, and each answer by itself."""
    gate, gross = plan.gate, [sample.beyond(plan.gate.gross_error_nats) for sample in samples]
    shares = [len(one) / len(sample.engine_tokens) for one, sample in zip(gross, samples, strict=True)]
    interval = gross_error_interval(shares, [sample.in_flight for sample in samples], gate)
    needed = _samples_needed(shares, gate)
    garbled = [one for one in samples if is_garbled([(at.index, at.regret_nats) for at in one.departures])]
    outcome = "fail" if garbled else tested(interval, gate.max_gross_error_share)
    tokens, texts = sum(len(one) for one in gross), sum(bool(one) for one in gross)
    found = (
        f"{tokens:,} of {sum(len(sample.engine_tokens) for sample in samples):,} tokens, in {texts:,} of "
        f"{len(samples):,} texts, have a regret of more than {gate.gross_error_nats:g} nats"
    )
    rare = share_interval(len(garbled), len(samples), gate.confidence)
    ends = (
        _garbled_reason(garbled, samples)
        if garbled
        else _reason(outcome, interval, gate, len(samples), needed)
    )
    return GrossErrorsOutcome(
        outcome=outcome,
        reason=f"{found}: {ends} {_rare_reason(rare, len(samples))}",
        share=interval,
        tokens=tokens,
        texts=texts,
        garbled=tuple(sample.sample_id for sample in garbled),
        garbled_share=rare,
        samples=len(samples),
        samples_needed=needed,
    )


def _samples_needed(shares: Sequence[float], gate: AccuracyGate) -> int:
    """Return the texts with which an engine at half the limit, of equal spread, passes with 80 % power."""
    half = gate.max_gross_error_share / 2
    return samples_to_pass(spread=pstdev(shares), distance=half, worst=1 - half, confidence=gate.confidence)


def _reason(outcome: Tested, interval: Interval, gate: AccuracyGate, samples: int, needed: int) -> str:
    ends = {
        "pass": "the upper bound is within it.",
        "fail": "even the lower bound is beyond it.",
        "underpowered": undecided(samples, needed, "limit"),
    }
    return (
        f"a share of {interval.estimate:.5f}, at {gate.confidence:.0%} confidence below "
        f"{interval.upper:.5f} and above {interval.lower:.5f}; the limit is "
        f"{gate.max_gross_error_share:g}: {ends[outcome]}"
    )


def _garbled_reason(garbled: Sequence[RegretSample], samples: Sequence[RegretSample]) -> str:
    first, are = garbled[0], "is" if len(garbled) == 1 else "are"
    return (
        f"{len(garbled)} of {len(samples)} answers {are} garbled, first the one after {first.context_tokens} "
        f"tokens of text {first.sample_id} with {first.in_flight} in flight: {GARBLED}. Noise does not make "
        "such an answer, so the engine has a fault, however rare."
    )


def _rare_reason(share: Interval, answers: int) -> str:
    """Say how rare garbled answers are, by what was found."""
    if share.estimate:
        rate = math.ceil(1 / share.lower)
        return f"At {share.confidence:.0%} confidence, more than one answer in {rate:,} is garbled."
    return (
        f"None of {answers} answers is garbled: at {share.confidence:.0%} confidence, at most one in "
        f"{math.floor(1 / share.upper):,} is."
    )
