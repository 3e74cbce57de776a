"""The gate `speed`: the lower bound of the ratio to every reference, against the declared bar.

The engine is faster only if it is faster than each reference. It could only be called so in error by winning
a comparison that it should lose, and that one alone is already rare enough: no error is shared between them.
The ratio that is shown is the smallest of several estimates, so it errs against the engine.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from tasks.judging.conditions import host_in_words
from tasks.judging.gates.figures import Figure, Shown, Tile, interval_figure, use_of_least
from tasks.judging.gates.gate import UNTIMED, Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import HOST_BUSY, NOT_MEASURED, Condition, Rule
from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import Gain, Interval, Metric, SpeedPoint
from tasks.judging.statistics import (
    PointRatio,
    RegionPoint,
    gains_of,
    is_not_faster,
    point_ratio,
    region,
    region_in_words,
)

SPOKEN: dict[Metric, str] = {
    "goodput_per_device": "Goodput per device",
    "throughput_per_device": "Throughput per device",
}
Compared = Literal["faster", "not-faster", "noisy", "underpowered"]


class SpeedOutcome(GateOutcome):
    """The ratio of speeds against the bar."""

    outcome: Compared
    reference: str = Field(default="", description="The reference that decided: the strongest one.")
    ratio: Interval = Field(description="Engine / that reference at the operating point.")
    metric: Metric = Field(description="What was compared.")
    pairs: int
    pairs_needed: int = Field(description="Pairs that the declared resolution needs, by their noise.")
    gains: tuple[Gain, ...] = Field(
        default=(), description="What quantizing and what compiling give, as far as it was timed."
    )
    attempt: int = Field(default=1, ge=1, description="How often it was measured, this time included.")
    region: tuple[RegionPoint, ...] = Field(
        default=(), description="All loads that were measured, and at which of them compiling wins."
    )


# Outcomes of comparisons with several references: the first of these that occurs decides.
_RANKS: dict[Compared, int] = {"not-faster": 0, "noisy": 1, "underpowered": 2, "faster": 3}


class SpeedGate(Gate[SpeedOutcome]):
    """The gate; see the module."""

    name = "speed"
    asks = "rounds"
    section = "Speed"
    conditions = (Condition("speed", ("faster", "not-faster", "noisy", "underpowered")),)
    outcome_type = SpeedOutcome
    rules = (
        Rule(
            "host-busy",
            {UNTIMED: (HOST_BUSY,)},
            "inconclusive",
            "the engine is accurate, but others kept the host busy while its speed was to be measured",
        ),
        Rule(
            "speed-not-measured",
            {UNTIMED: (NOT_MEASURED,)},
            "inconclusive",
            "the engine is accurate, but no round was timed",
        ),
        Rule(
            "speed-noisy",
            {"speed": ("noisy",)},
            "inconclusive",
            "the interval contains the bar, and the time budget is used up, or more rounds would not help",
        ),
        Rule(
            "speed-underpowered",
            {"speed": ("underpowered",)},
            "inconclusive",
            "the interval contains the bar, and the time budget is too small to change that",
        ),
        Rule(
            "not-faster",
            {"speed": ("not-faster",), "reference slo": ("not-missed",)},
            "stay-on-vllm",
            "the engine is not as much faster as the spec requires",
        ),
    )

    def judge(self, evidence: Evidence) -> SpeedOutcome:
        """Judge whether the lower bound reaches the bar against every reference."""
        timed, plan = evidence.timed, evidence.protocol.speed
        judged = [(judge_speed(one, plan, attempt=timed.attempt), one) for one in timed.deciding]
        # One that was broken off because another had decided says nothing by itself.
        decisive, point = min(judged, key=lambda one: (one[1].ended == "undecided", _RANKS[one[0].outcome]))
        others = [one for one in timed.deciding if one is not point]
        gains = gains_of(timed, evidence.protocol)
        points = region(timed, evidence.protocol)
        loads = [one.load for one in point.rounds]
        said = (
            decisive.reason,
            *_others(others, plan),
            *(f"{one.reference} was not timed: {one.reason}." for one in timed.left_out),
            *(f"Not measured: {one}" for one in timed.omitted),
            *region_in_words(points),
            *map(_gain, gains),
            *host_in_words(timed.quiet_host, loads, made_again=point.made_again, pairs=timed.cycles),
        )
        return decisive.model_copy(
            update={
                "reason": " ".join(said),
                "reference": point.reference.side,
                "gains": gains,
                "region": points,
            }
        )

    def show(self, outcome: SpeedOutcome, evidence: Evidence) -> Shown:
        """Show the goodput of both sides, the ratio that decides, and the bar that it has to reach."""
        ratio, gate = outcome.ratio, evidence.protocol.speed.gate
        deciding = {one.reference.side: one for one in evidence.timed.deciding}
        point = deciding[outcome.reference]
        goodput = interval_figure(
            "speed: goodput",
            "tokens/s",
            point.engine.goodput_per_device,
            "{:,.0f}",
            reference=f"{point.reference.goodput_per_device.estimate:,.0f}",
            decisive=False,
        )
        use = use_of_least(ratio, gate.min_speedup)
        label, limit = f"speed: {outcome.metric.replace('_', ' ')}", f"lower ≥ {gate.min_speedup:g}"
        found = f"at {point.concurrency} in flight, between {ratio.lower:.3f} and {ratio.upper:.3f}"
        asked = f"for the lower bound, at {100 * ratio.confidence:.2f} % confidence"
        gains = [
            interval_figure(f"speed: {one.of}", f"x {one.than}", one.ratio, "{:.3f}", decisive=False)
            for one in outcome.gains
        ]
        decides = interval_figure(label, "x vLLM's", ratio, "{:.3f}", limit=limit, use=use)
        return Shown(
            (goodput, *gains, decides, *_elsewhere(outcome.region, evidence)),
            (
                Tile(f"Engine / {point.reference.side}", f"{ratio.estimate:.3f}", "x", found, leads=True),
                Tile("Bar", f"{gate.min_speedup:.2f}", "x", asked, leads=True),
            ),
            clause=f"it is {ratio.estimate:.2f} times as fast as {point.reference.side} with "
            f"{point.concurrency} in flight (between {ratio.lower:.2f} and {ratio.upper:.2f}; the bar is "
            f"{gate.min_speedup:g})",
        )


def _elsewhere(points: Sequence[RegionPoint], evidence: Evidence) -> Iterator[Figure]:
    """Yield the ratio at each load that decides nothing."""
    load = evidence.protocol.workload
    decisive = (load.input_tokens, load.output_tokens, load.operating_point)
    for one in points:
        if (one.input_tokens, one.output_tokens, one.concurrency) == decisive:
            continue
        where = f"{one.concurrency} in flight, {one.input_tokens} + {one.output_tokens} tokens"
        beyond = ", beyond the objective" if one.engine_objective == "missed" else ""
        label = f"speed: {where} ({one.outcome.replace('-', ' ')}{beyond})"
        yield interval_figure(label, "x vLLM's", one.ratio, "{:.3f}", decisive=False)


def _others(points: Sequence[SpeedPoint], plan: SpeedPlan) -> Iterator[str]:
    """Yield a sentence about the other references, if there are any."""
    ratios = [f"{point_ratio(one, plan).interval.estimate:.3f} times {one.reference.side}" for one in points]
    if ratios:
        yield (
            f"It has to be faster than each of {len(points) + 1} references, and the one that decides is "
            f"shown; it has {', '.join(ratios)}."
        )


def _gain(one: Gain) -> str:
    """Return a sentence about what quantizing or compiling gives."""
    does = "Quantizing" if one.of == "quantizing" else "Compiling"
    return f"{does} alone gives {one.ratio.text()} times the speed ({one.side} / {one.than})."


def judge_speed(point: SpeedPoint, plan: SpeedPlan, *, attempt: int = 1) -> SpeedOutcome:
    """Judge the lower bound of the ratio to one reference at the operating point against the bar.

    `attempt` is how often the question was measured, this time included; it is part of the reason.
    """
    ratio = point_ratio(point, plan)
    metric, ratios, interval, _ = ratio
    outcome, end = _compare(ratio, point, plan)
    found = (
        f"{SPOKEN[metric]} is {interval.estimate:.3f} times that of {point.reference.side}, at "
        f"{interval.confidence:.2%} confidence{_shares(point, plan, attempt)} above "
        f"{interval.lower:.3f} and below {interval.upper:.3f} ({point.pairs_in_words}); the bar is "
        f"{plan.gate.min_speedup:g}"
    )
    return SpeedOutcome(
        outcome=outcome,
        reason=" ".join((f"{found}: {end}", *_throttled(point))),
        ratio=interval,
        metric=metric,
        pairs=len(ratios),
        pairs_needed=point.planned_pairs,
        attempt=attempt,
    )


def _compare(ratio: PointRatio, point: SpeedPoint, plan: SpeedPlan) -> tuple[Compared, str]:
    """Return the outcome, and the end of the sentence about it."""
    interval, bar = ratio.interval, plan.gate.min_speedup
    if interval.lower >= bar:
        return "faster", "the lower bound reaches it."
    if is_not_faster(ratio, point, plan):
        if interval.upper < bar:
            return "not-faster", "even the upper bound does not reach it."
        excess = f"an engine that exceeds it by {plan.resolution:.1%} would have been found"
        return "not-faster", f"the lower bound does not reach it, although {excess}."
    if point.ended == "resolved":
        return "noisy", (
            "the interval contains it, and more rounds would not change that: each side was started once, "
            f"and starts differ by about {ratio.start_spread:.0%}. Sides that run in turn are started for "
            "every block (ENGINERY_PLACEMENT=in-turn)."
        )
    if point.ended == "underpowered":
        return "underpowered", f"the interval contains it, and {point.stopped}."
    return "noisy", f"the interval contains it, and {point.stopped}."


def _shares(point: SpeedPoint, plan: SpeedPlan, attempt: int) -> str:
    """Return who shares the error; empty if nobody does."""
    looks = f"look {point.looks}" if point.looks > 1 else ""
    attempts = f"attempt {attempt}" if attempt > 1 else ""
    variants = f"{plan.variants} variants" if plan.variants > 1 else ""
    shares = ", ".join(one for one in (looks, attempts, variants) if one)
    return f" ({shares} of {plan.gate.confidence:.0%} in all)" if shares else ""


def _throttled(point: SpeedPoint) -> Iterator[str]:
    """Yield a sentence about rounds with lowered clocks, if there were any."""
    found = []
    for side in (point.engine.side, point.reference.side):
        rounds = [one for one in point.rounds if one.side == side]
        if lowered := sum(bool(one.throttled) for one in rounds):
            found.append(f"{lowered} of {len(rounds)} rounds of {side}")
    reasons = sorted({reason for one in point.rounds for reason in one.throttled})
    if found:
        yield f"The driver lowered the clocks during {' and '.join(found)} ({', '.join(reasons)})."
