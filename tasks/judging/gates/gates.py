"""The gates: what was measured against what was declared. Pure; every outcome says which numbers decided it.

A gate on accuracy or length asks for non-inferiority. It passes when the whole interval is inside the
margin. Where it is not, the gate fails if the interval is outside, or if there were samples enough to let a
faultless engine pass with 80 % power. Otherwise nothing was shown either way: underpowered, with the number
of samples that would do.
"""

from collections.abc import Sequence
from statistics import fmean, pstdev

from engine_specs.spec import Slo
from tasks.judging.gates.outcomes import (
    LengthOutcome,
    RegretOutcome,
    SameEngineOutcome,
    SloOutcome,
    SpeedOutcome,
    Tested,
    TokenizerOutcome,
)
from tasks.judging.protocol import AccuracyPlan, SpeedPlan
from tasks.judging.results import (
    AccuracyResult,
    Interval,
    LengthSample,
    LoadSummary,
    Metric,
    RegretSample,
    SpeedPoint,
    TokenizerCheck,
)
from tasks.judging.statistics.ratio_bounds import ratio_interval
from tasks.judging.statistics.regret_bounds import (
    bounded_mean_interval,
    length_ratio_interval,
    samples_for_spread,
    samples_for_zero_regret,
    share_interval,
)

SPOKEN: dict[Metric, str] = {
    "goodput_per_device": "Goodput per device",
    "throughput_per_device": "Throughput per device (goodput was zero in a round)",
}
# Bounds of exactly 1 tolerate nothing and no number of samples satisfies them; this keeps that number finite.
SMALLEST_DISTANCE = 1e-6


def judge_regret(samples: Sequence[RegretSample], plan: AccuracyPlan) -> RegretOutcome:
    """Upper bound of the mean regret against the margin; the mean of one text is one observation.

    Tokens of one continuation depend on each other, texts do not.
    """
    margin = plan.gate.max_regret_nats_per_token
    regrets = [sample.regret_nats for sample in samples]
    interval = bounded_mean_interval(regrets, cap=plan.regret_cap_nats, confidence=plan.gate.confidence)
    decisive = _regret_samples_needed(regrets, plan)
    outcome: Tested = "pass" if interval.upper <= margin else "fail"
    if outcome == "fail" and interval.lower <= margin and len(samples) < decisive:
        outcome = "underpowered"
    return RegretOutcome(
        outcome=outcome,
        reason=f"{_regret_reason(outcome, interval, plan, len(samples), decisive)} {_worst(samples)}",
        regret_nats=interval,
        uncapped_mean_nats=fmean(regrets),
        agreement=bounded_mean_interval(
            [sample.agreement for sample in samples], cap=1.0, confidence=plan.gate.confidence
        ),
        samples=len(samples),
        samples_needed=decisive if outcome == "underpowered" else min(decisive, len(samples)),
    )


def _regret_samples_needed(regrets: Sequence[float], plan: AccuracyPlan) -> int:
    """Texts with which an engine without regret, but with the noise seen here, would pass with 80 % power."""
    margin, cap = plan.gate.max_regret_nats_per_token, plan.regret_cap_nats
    spread = pstdev([min(regret, cap) for regret in regrets])
    flat = samples_for_zero_regret(margin=margin, cap=cap, confidence=plan.gate.confidence)
    return max(flat, samples_for_spread(spread=spread, distance=margin, confidence=plan.gate.confidence))


def _regret_reason(outcome: Tested, interval: Interval, plan: AccuracyPlan, samples: int, needed: int) -> str:
    found = (
        f"Mean regret is {interval.estimate:.5f} nats per token, "
        f"at {plan.gate.confidence:.0%} confidence below "
        f"{interval.upper:.5f} and above {interval.lower:.5f} "
        f"({samples} texts, {plan.continuation_tokens} tokens each); the margin is "
        f"{plan.gate.max_regret_nats_per_token:g}"
    )
    ends = {
        "pass": "the upper bound is within it.",
        "fail": "that the engine is within it could not be shown, with samples enough to show it.",
        "underpowered": f"too few texts to tell: {needed} would do.",
    }
    if outcome == "fail" and interval.lower > plan.gate.max_regret_nats_per_token:
        return f"{found}: the lower bound is beyond it."
    return f"{found}: {ends[outcome]}"


def _worst(samples: Sequence[RegretSample]) -> str:
    """Where to look first, in words."""
    text = max(samples, key=lambda sample: sample.regret_nats)
    departures = [(sample, token) for sample in samples for token in sample.departures]
    if not departures:
        return "Every token is the reference's own choice."
    sample, token = max(departures, key=lambda one: one[1].regret_nats)
    return (
        f"The worst text is {text.sample_id}, with {text.regret_nats:.4f} in the mean; the worst token is "
        f"number {token.index + 1} after {sample.context_tokens} tokens of text {sample.sample_id}, "
        f"with {token.regret_nats:.4f}."
    )


def judge_lengths(samples: Sequence[LengthSample], plan: AccuracyPlan) -> LengthOutcome:
    """Ratio of mean lengths against its two bounds."""
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
        "underpowered": f"too few texts to tell: {needed} would do.",
    }
    return LengthOutcome(
        outcome=outcome,
        reason=f"{found}: {ends[outcome]}",
        ratio=interval,
        samples=len(samples),
        samples_needed=needed if outcome == "underpowered" else min(needed, len(samples)),
    )


def _length_samples_needed(pairs: Sequence[tuple[int, int]], plan: AccuracyPlan) -> int:
    """Texts with which an engine of equal lengths, but with the noise seen here, would pass with 80 %
    power.
    """
    mean = fmean(reference for _, reference in pairs)
    distance = max(min(1 - plan.gate.min_length_ratio, plan.gate.max_length_ratio - 1), SMALLEST_DISTANCE)
    spread = pstdev([(engine - reference) / mean for engine, reference in pairs])
    # Of equal lengths the bound still assumes one extra pair, (longest, 1): how much weight may it have?
    weight = mean * distance / (plan.length_max_tokens - 1 - distance + mean * distance)
    flat = samples_for_zero_regret(margin=weight, cap=1.0, confidence=plan.gate.confidence)
    return max(flat, samples_for_spread(spread=spread, distance=distance, confidence=plan.gate.confidence))


def judge_tokenizer(checks: Sequence[TokenizerCheck]) -> TokenizerOutcome:
    """Every text must read the same on both servers."""
    failed = [check for check in checks if not (check.same_ids and check.same_text)]
    if not failed:
        reason = f"All {len(checks)} texts read the same through both servers, in ids and back in text."
        return TokenizerOutcome(outcome="same", reason=reason, texts=len(checks))
    first = failed[0]
    reason = f"{len(failed)} of {len(checks)} texts differ, such as {first.text!r}: {first.detail}."
    return TokenizerOutcome(outcome="different", reason=reason, texts=len(checks))


def judge_speed(point: SpeedPoint, plan: SpeedPlan) -> SpeedOutcome:
    """Lower bound of the ratio at the operating point against the bar."""
    metric, ratios = point.log_ratios(plan.gate.metric)
    return judge_log_ratios(
        ratios, plan, metric_used=metric, first_stage=point.first_stage_pairs, needed=point.planned_pairs
    )


def judge_log_ratios(
    log_ratios: Sequence[float], plan: SpeedPlan, *, metric_used: Metric, first_stage: int, needed: int
) -> SpeedOutcome:
    """The same from bare log ratios, which is what simulations of the gate use."""
    interval = ratio_interval(log_ratios, first_stage=first_stage, confidence=plan.gate.confidence)
    resolved = len(log_ratios) >= needed
    found = (
        f"{SPOKEN[metric_used]} is {interval.estimate:.3f} times the reference's, "
        f"at {plan.gate.confidence:.0%} confidence above "
        f"{interval.lower:.3f} and below {interval.upper:.3f} ({len(log_ratios)} pairs of rounds); "
        f"the bar is {plan.gate.min_speedup:g}"
    )
    if interval.lower >= plan.gate.min_speedup:
        outcome, end = "faster", "the lower bound reaches it."
    elif interval.upper < plan.gate.min_speedup:
        outcome, end = "not-faster", "even the upper bound does not reach it."
    elif resolved:
        outcome, end = (
            "not-faster",
            f"the lower bound does not reach it at the declared resolution of {plan.resolution:.1%}.",
        )
    else:
        outcome, end = "noisy", f"the interval straddles it and the budget is spent; {needed} pairs would do."
    return SpeedOutcome.model_validate(
        {
            "outcome": outcome,
            "reason": f"{found}: {end}",
            "ratio": interval,
            "metric": metric_used,
            "pairs": len(log_ratios),
            "pairs_needed": needed,
        }
    )


def judge_slo(engine: LoadSummary, reference: LoadSummary, slo: Slo, *, confidence: float) -> SloOutcome:
    """99th percentiles of the engine at the operating point against the objective."""
    met, reference_met = meets(engine, slo), meets(reference, slo)
    share = share_interval(round(engine.good_share * engine.requests), engine.requests, confidence)
    reason = (
        f"TTFT p99 is {engine.ttft_ms.p99:.1f} ms (limit {slo.ttft_p99_ms:g}), "
        f"ITL p99 {engine.itl_ms.p99:.2f} ms "
        f"(limit {slo.itl_p99_ms:g}): the objective is {'met' if met else 'missed'}. {share.estimate:.1%} of "
        f"{engine.requests} requests kept it, at {confidence:.0%} confidence at least {share.lower:.1%}; "
        f"the reference has {reference.ttft_ms.p99:.1f} ms and {reference.itl_ms.p99:.2f} ms: it "
        f"{'meets' if reference_met else 'misses'} the objective."
    )
    return SloOutcome(
        outcome="met" if met else "missed",
        reason=reason,
        good_share=share,
        reference_meets=reference_met,
    )


def meets(summary: LoadSummary, slo: Slo) -> bool:
    """Whether the pooled 99th percentiles of one side are within the objective."""
    return summary.ttft_ms.p99 <= slo.ttft_p99_ms and summary.itl_ms.p99 <= slo.itl_p99_ms


def rejecting(result: AccuracyResult, plan: AccuracyPlan) -> tuple[str, ...]:
    """The gates on a side's answers that it failed, as the table of verdicts names them; speed mends none.

    A gate that had too few samples did not fail.
    """
    gates = {
        "tokenizer": judge_tokenizer(result.tokenizer).outcome == "different",
        "regret": judge_regret(result.samples, plan).outcome == "fail",
        "length": judge_lengths(result.lengths, plan).outcome == "fail",
    }
    return tuple(name for name, failed in gates.items() if failed)


def qualifies(result: AccuracyResult, plan: AccuracyPlan) -> bool:
    """Whether a quantized reference is accurate enough to be compared with for speed."""
    regret, length = judge_regret(result.samples, plan), judge_lengths(result.lengths, plan)
    return regret.outcome == "pass" and length.outcome == "pass"


def judge_same_engine(point: SpeedPoint, plan: SpeedPlan) -> SameEngineOutcome:
    """Judge an A/A run, one server under two names: the interval must hold 1."""
    metric, ratios = point.log_ratios(plan.gate.metric)
    interval = ratio_interval(ratios, first_stage=point.first_stage_pairs, confidence=plan.gate.confidence)
    alike = interval.lower <= 1 <= interval.upper
    end = "it holds 1" if alike else "it does not hold 1: order, client or host favours one side"
    return SameEngineOutcome(
        outcome="alike" if alike else "biased",
        reason=f"{SPOKEN[metric]} of one engine against itself is {interval.text()} times its own: {end}.",
        ratio=interval,
    )
