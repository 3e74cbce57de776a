"""The gate `speed`: the lower bound of the ratio to the fastest reference, against the declared bar."""

from typing import Literal

from pydantic import Field

from tasks.judging.conditions import host_in_words
from tasks.judging.gates.figures import Shown, Tile, interval_figure, use_of_least
from tasks.judging.gates.gate import UNTIMED, Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import HOST_BUSY, NOT_MEASURED, Condition, Rule
from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import Interval, Metric, SpeedPoint
from tasks.judging.statistics import point_ratio

SPOKEN: dict[Metric, str] = {
    "goodput_per_device": "Goodput per device",
    "throughput_per_device": "Throughput per device",
}
Compared = Literal["faster", "not-faster", "noisy", "underpowered"]


class SpeedOutcome(GateOutcome):
    """The ratio of speeds against the bar."""

    outcome: Compared
    ratio: Interval = Field(description="Engine / reference at the operating point.")
    metric: Metric = Field(description="What was compared.")
    pairs: int
    pairs_needed: int = Field(description="Pairs that the declared resolution needs, by their noise.")
    attempt: int = Field(default=1, ge=1, description="How often it was measured, this time included.")

    @property
    def could_tell(self) -> bool:
        """False if the budget is too small to get the bar out of the interval."""
        return self.outcome not in ("noisy", "underpowered")


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
            {"speed": ("not-faster",)},
            "stay-on-vllm",
            "the engine is not as much faster as the spec requires",
        ),
    )

    def judge(self, evidence: Evidence) -> SpeedOutcome:
        """Judge whether the lower bound reaches the bar."""
        point, timed = evidence.point, evidence.timed
        judged = judge_speed(point, evidence.protocol.speed, attempt=timed.attempt)
        loads = [one.load for one in point.rounds]
        host = host_in_words(timed.quiet_host, loads, made_again=point.made_again, pairs=judged.pairs)
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
        use = use_of_least(ratio, gate.min_speedup)
        label, limit = f"speed: {outcome.metric.replace('_', ' ')}", f"lower ≥ {gate.min_speedup:g}"
        found = f"at {point.concurrency} in flight, between {ratio.lower:.3f} and {ratio.upper:.3f}"
        asked = f"for the lower bound, at {100 * ratio.confidence:.2f} % confidence"
        return Shown(
            (goodput, interval_figure(label, "x vLLM's", ratio, "{:.3f}", limit=limit, use=use)),
            (
                Tile(f"Engine / {point.reference.side}", f"{ratio.estimate:.3f}", "x", found, leads=True),
                Tile("Bar", f"{gate.min_speedup:.2f}", "x", asked, leads=True),
            ),
        )


def judge_speed(point: SpeedPoint, plan: SpeedPlan, *, attempt: int = 1) -> SpeedOutcome:
    """Judge the lower bound of the ratio at the operating point against the bar.

    `attempt` is how often the question was measured, this time included; it is part of the reason.
    """
    metric, ratios, interval, start_spread = point_ratio(point, plan)
    outcome, end = _compare(interval, point, plan, start_spread)
    found = (
        f"{SPOKEN[metric]} is {interval.estimate:.3f} times the reference's, at {interval.confidence:.2%} "
        f"confidence{_shares(point, plan, attempt)} above {interval.lower:.3f} and below "
        f"{interval.upper:.3f} ({point.pairs_in_words}); the bar is {plan.gate.min_speedup:g}"
    )
    throttled = _throttled(point)
    return SpeedOutcome(
        outcome=outcome,
        reason=f"{found}: {end} {throttled}".rstrip(),
        ratio=interval,
        metric=metric,
        pairs=len(ratios),
        pairs_needed=point.planned_pairs,
        attempt=attempt,
    )


def _compare(
    interval: Interval, point: SpeedPoint, plan: SpeedPlan, start_spread: float
) -> tuple[Compared, str]:
    """Return the outcome, and the end of the sentence about it."""
    if interval.lower >= plan.gate.min_speedup:
        return "faster", "the lower bound reaches it."
    if interval.upper < plan.gate.min_speedup:
        return "not-faster", "even the upper bound does not reach it."
    if point.ended == "resolved" and start_spread:
        return "noisy", (
            "the interval contains it, and more rounds would not change that: each side was started once, "
            f"and starts differ by about {start_spread:.0%}. Sides that run in turn are started for every "
            "block (ENGINERY_PLACEMENT=in-turn)."
        )
    if point.ended == "resolved":
        excess = f"an engine that exceeds it by {plan.resolution:.1%} would have been found"
        return "not-faster", f"the lower bound does not reach it, although {excess}."
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
