"""The gate `regret`: how much less likely the reference finds the engine's tokens than its own choices."""

from collections.abc import Sequence
from statistics import pstdev

from pydantic import Field

from engine_specs.spec import AccuracyGate
from tasks.judging.gates.figures import Shown, Tile, interval_figure, use_of_most
from tasks.judging.gates.gate import Evidence, Gate, SampledOutcome, Tested, tested, undecided
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, RegretSample
from tasks.judging.statistics import (
    bounded_mean_interval,
    regret_interval,
    samples_to_pass,
    zeros_suffice,
)


class RegretOutcome(SampledOutcome):
    """Mean regret against its margin; each text is one observation."""

    regret_nats: Interval = Field(description="Mean over texts of the mean regret per token.")
    agreement: Interval = Field(
        description="Share of tokens that the reference would have chosen, too; mean over texts."
    )


class RegretGate(Gate[RegretOutcome]):
    """The gate; see the module."""

    name = "regret"
    asks = "answers"
    section = "Accuracy"
    conditions = (Condition("regret", ("pass", "fail", "underpowered")),)
    outcome_type = RegretOutcome
    of_references = True
    rules = (
        Rule(
            "accuracy-fails",
            {"regret": ("fail",)},
            "rejected",
            "the engine was shown to be beyond the accuracy margin",
        ),
        Rule(
            "accuracy-underpowered",
            {"regret": ("underpowered",)},
            "inconclusive",
            "the engine was shown to be neither within the accuracy margin nor beyond it",
        ),
    )

    def has_enough_texts(self, plan: AccuracyPlan) -> bool:
        """Whether the upper bound reaches the margin if no text has any regret."""
        margin, worst = plan.gate.max_regret_nats_per_token, plan.gate.gross_error_nats
        return zeros_suffice(plan.runs(), margin=margin, worst=worst, confidence=plan.gate.confidence)

    def judge(self, evidence: Evidence) -> RegretOutcome:
        """Judge whether the upper bound of the mean regret is within the margin."""
        return judge_regret(evidence.accuracy.samples, evidence.protocol.accuracy)

    def show(self, outcome: RegretOutcome, evidence: Evidence) -> Shown:
        """Show the mean regret, and the share of equal tokens."""
        regret, same = outcome.regret_nats, outcome.agreement
        margin = evidence.protocol.accuracy.gate.max_regret_nats_per_token
        bound = f"upper bound {regret.upper:.5f}, margin {margin:g}"
        share = f"between {100 * same.lower:.1f} and {100 * same.upper:.1f} %, {outcome.samples} texts"
        return Shown(
            (
                interval_figure(
                    "accuracy: regret",
                    "nats/token",
                    regret,
                    "{:.5f}",
                    limit=f"upper ≤ {margin:g}",
                    use=use_of_most(regret, margin),
                ),
                interval_figure("accuracy: same tokens", "share", same, "{:.3f}", decisive=False),
            ),
            (
                Tile("Mean regret", f"{regret.estimate:.5f}", "nats/token", bound, leads=True),
                Tile("Same tokens", f"{100 * same.estimate:.1f}", "%", share, leads=True),
            ),
        )


def judge_regret(samples: Sequence[RegretSample], plan: AccuracyPlan) -> RegretOutcome:
    """Judge the upper bound of the mean regret against the margin.

    The mean of one text is one observation: tokens of a continuation depend on each other.
    """
    gate, regrets = plan.gate, [sample.regret_nats for sample in samples]
    interval = regret_interval(regrets, [sample.in_flight for sample in samples], gate)
    needed = _regret_samples_needed(regrets, gate)
    outcome = tested(interval, gate.max_regret_nats_per_token)
    return RegretOutcome(
        outcome=outcome,
        reason=f"{_regret_reason(outcome, interval, gate, samples, needed)} {_worst(samples)}",
        regret_nats=interval,
        agreement=bounded_mean_interval(
            [sample.agreement for sample in samples], cap=1.0, confidence=gate.confidence
        ),
        samples=len(samples),
        samples_needed=needed,
    )


def _regret_samples_needed(regrets: Sequence[float], gate: AccuracyGate) -> int:
    """Return the texts with which an engine at half the margin, of equal spread, passes with 80 % power."""
    half = gate.max_regret_nats_per_token / 2
    worst = max(gate.gross_error_nats - half, half)
    return samples_to_pass(spread=pstdev(regrets), distance=half, worst=worst, confidence=gate.confidence)


def _regret_reason(
    outcome: Tested, interval: Interval, gate: AccuracyGate, samples: Sequence[RegretSample], needed: int
) -> str:
    texts, tokens = len(samples), sum(len(sample.engine_tokens) for sample in samples)
    ends = {
        "pass": "the upper bound is within it.",
        "fail": "even the lower bound is beyond it.",
        "underpowered": undecided(texts, needed),
    }
    return (
        f"Mean regret is {interval.estimate:.5f} nats per token, at {gate.confidence:.0%} confidence below "
        f"{interval.upper:.5f} and above {interval.lower:.5f} ({texts} texts, {tokens:,} tokens); the margin "
        f"is {gate.max_regret_nats_per_token:g}: {ends[outcome]}"
    )


def _worst(samples: Sequence[RegretSample]) -> str:
    """Name the worst text and the worst token, as the places to look at first."""
    text = max(samples, key=lambda sample: sample.regret_nats)
    departures = [(sample, token) for sample in samples for token in sample.departures]
    if not departures:
        return "Every token is the reference's own choice."
    sample, token = max(departures, key=lambda one: one[1].regret_nats)
    return (
        f"The worst text is {text.sample_id}, with a mean of {text.regret_nats:.4f}; the worst token is "
        f"number {token.index + 1} after {sample.context_tokens} tokens of text {sample.sample_id}, "
        f"with {token.regret_nats:.4f}."
    )
