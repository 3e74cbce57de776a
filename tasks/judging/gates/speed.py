"""The gate `speed`: the lower bound of the ratio to the fastest reference, against the declared bar."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.judging.conditions import host_in_words
from tasks.judging.gates.figures import Shown, Tile, interval_figure
from tasks.judging.gates.gate import UNTIMED, Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import HOST_BUSY, NOT_MEASURED, Condition, Rule
from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import Interval, Metric, SpeedPoint
from tasks.judging.statistics import ratio_interval

SPOKEN: dict[Metric, str] = {
    "goodput_per_device": "Goodput per device",
    "throughput_per_device": "Throughput per device (goodput was zero in a round)",
}


class SpeedOutcome(GateOutcome):
    """The ratio of speeds against the bar."""

    outcome: Literal["faster", "not-faster", "noisy"]
    ratio: Interval = Field(description="Engine / reference at the operating point.")
    metric: Metric = Field(description="What was compared; throughput if a goodput was zero.")
    pairs: int
    pairs_needed: int

    @property
    def could_tell(self) -> bool:
        """False if the time budget ended while the interval still contained the bar."""
        return self.outcome != "noisy"


class SpeedGate(Gate[SpeedOutcome]):
    """The gate; see the module."""

    name = "speed"
    asks = "rounds"
    section = "Speed"
    conditions = (Condition("speed", ("faster", "not-faster", "noisy")),)
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
            "the interval contains the bar, and the time budget is used up",
        ),
        Rule(
            "not-faster",
            {"speed": ("not-faster",)},
            "stay-on-vllm",
            "the engine is not as much faster as the spec requires",
        ),
    )

    def judge(self, evidence: Evidence) -> SpeedOutcome:
        """Judge whether the lower bound reaches the bar."""
        judged = judge_speed(evidence.point, evidence.protocol.speed)
        point, required = evidence.point, evidence.timed.quiet_host
        loads = [one.load for one in point.rounds]
        host = host_in_words(required, loads, made_again=point.made_again, pairs=judged.pairs)
        return judged.model_copy(update={"reason": f"{judged.reason} {host}"}) if host else judged

    def show(self, outcome: SpeedOutcome, evidence: Evidence) -> Shown:
        """Show the goodput of both sides, the ratio that decides, and the bar that it has to reach."""
        point, ratio, gate = evidence.point, outcome.ratio, evidence.protocol.speed.gate
        goodput = interval_figure(
            "speed: goodput",
            "tokens/s",
            point.engine.goodput_per_device,
            "{:,.0f}",
            reference=f"{point.reference.goodput_per_device.estimate:,.0f}",
            decisive=False,
        )
        label, limit = f"speed: {outcome.metric.replace('_', ' ')}", f"lower ≥ {gate.min_speedup:g}"
        found = f"at {point.concurrency} in flight, between {ratio.lower:.3f} and {ratio.upper:.3f}"
        asked = f"for the lower bound, at {100 * gate.confidence:.0f} % confidence"
        return Shown(
            (goodput, interval_figure(label, "x vLLM's", ratio, "{:.3f}", limit=limit)),
            (
                Tile(f"Engine / {point.reference.side}", f"{ratio.estimate:.3f}", "x", found, leads=True),
                Tile("Bar", f"{gate.min_speedup:.2f}", "x", asked, leads=True),
            ),
        )


def judge_speed(point: SpeedPoint, plan: SpeedPlan) -> SpeedOutcome:
    """Judge the lower bound of the ratio at the operating point against the bar."""
    metric, ratios = point.log_ratios(plan.gate.metric)
    judged = judge_log_ratios(
        ratios,
        plan,
        metric_used=metric,
        first_stage=point.first_stage_pairs,
        needed=point.planned_pairs,
        pairs=point.pairs_in_words,
    )
    throttled = _throttled(point)
    return judged.model_copy(update={"reason": f"{judged.reason} {throttled}"}) if throttled else judged


def _throttled(point: SpeedPoint) -> str:
    """Return a sentence about rounds with lowered clocks; empty if there were none."""
    found = []
    for side in (point.engine.side, point.reference.side):
        rounds = [one for one in point.rounds if one.side == side]
        if lowered := sum(bool(one.throttled) for one in rounds):
            found.append(f"{lowered} of {len(rounds)} rounds of {side}")
    reasons = sorted({reason for one in point.rounds for reason in one.throttled})
    why = ", ".join(reasons)
    return f"The driver lowered the clocks during {' and '.join(found)} ({why})." if found else ""


def judge_log_ratios(
    log_ratios: Sequence[float],
    plan: SpeedPlan,
    *,
    metric_used: Metric,
    first_stage: int,
    needed: int,
    pairs: str = "",
) -> SpeedOutcome:
    """Judge log ratios against the bar; simulations of the gate call this directly.

    `pairs` says how many there are, and of what.
    """
    interval = ratio_interval(log_ratios, first_stage=first_stage, confidence=plan.gate.confidence)
    pairs = pairs or f"{len(log_ratios)} pairs of rounds"
    resolved = len(log_ratios) >= needed
    found = (
        f"{SPOKEN[metric_used]} is {interval.estimate:.3f} times the reference's, "
        f"at {plan.gate.confidence:.0%} confidence above "
        f"{interval.lower:.3f} and below {interval.upper:.3f} ({pairs}); "
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
        outcome, end = (
            "noisy",
            f"the interval contains it, and the budget is used up; {needed} pairs would be enough.",
        )
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
