"""The gate `gross errors`: how many of the engine's tokens are far from anything the reference would choose.

Rare garbage hardly shows in a mean: an engine that is wrong in one request of 500 adds less to it than the
usual margin. So its share has a limit of its own.
"""

from collections.abc import Sequence
from statistics import pstdev

from pydantic import Field

from engine_specs.spec import AccuracyGate
from tasks.judging.gates.figures import Shown, Tile, interval_figure, use_of_most
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested, tested, undecided
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, RegretSample
from tasks.judging.statistics import gross_error_interval, samples_to_pass


class GrossErrorsOutcome(SampledOutcome):
    """Share of gross errors against its limit; each text is one observation."""

    share: Interval = Field(description="Mean over texts of the share of tokens that are gross errors.")
    tokens: int = Field(description="Number of gross errors.")
    texts: int = Field(description="Texts that have one or more.")


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
            "the engine was shown to make more gross errors than it may",
        ),
        Rule(
            "gross-errors-underpowered",
            {"gross errors": ("underpowered",)},
            "inconclusive",
            "it was not shown whether the engine makes more gross errors than it may",
        ),
    )

    def judge(self, evidence: Evidence) -> GrossErrorsOutcome:
        """Judge whether the upper bound of the share is within the limit."""
        return judge_gross_errors(evidence.accuracy.samples, evidence.protocol.accuracy)

    def show(self, outcome: GrossErrorsOutcome, evidence: Evidence) -> Shown:
        """Show the share."""
        share, limit = outcome.share, evidence.protocol.accuracy.gate.max_gross_error_share
        note = f"upper bound {100 * share.upper:.3f} %, limit {100 * limit:g} %, in {outcome.texts} texts"
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
            ),
            (Tile("Gross errors", f"{100 * share.estimate:.3f}", "% of tokens", note, leads=True),),
        )


def judge_gross_errors(samples: Sequence[RegretSample], plan: AccuracyPlan) -> GrossErrorsOutcome:
    """Judge the upper bound of the share of gross errors against the limit."""
    gate, counts = plan.gate, [sample.tokens_beyond(plan.gate.gross_error_nats) for sample in samples]
    shares = [count / len(sample.engine_tokens) for count, sample in zip(counts, samples, strict=True)]
    interval = gross_error_interval(shares, [sample.in_flight for sample in samples], gate)
    outcome, needed = tested(interval, gate.max_gross_error_share), _samples_needed(shares, gate)
    tokens, texts = sum(counts), sum(count > 0 for count in counts)
    found = (
        f"{tokens} of {sum(len(sample.engine_tokens) for sample in samples)} tokens, in {texts} of "
        f"{len(samples)} texts, have a regret of more than {gate.gross_error_nats:g} nats"
    )
    return GrossErrorsOutcome(
        outcome=outcome,
        reason=f"{found}: {_reason(outcome, interval, gate, len(samples), needed)}",
        share=interval,
        tokens=tokens,
        texts=texts,
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
