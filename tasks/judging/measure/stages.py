"""What rounds and blocks have in common: the plan of the second stage, and the point reported. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.judging.endpoint import Side
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import Interval, SpeedPoint, paired_log_ratios
from tasks.judging.statistics import pairs_needed, ratio_interval

SECONDS_PER_MINUTE = 60.0

Sides = tuple[Side, Side]
"""The reference and the engine."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """How many pairs there are after the second stage, how many are needed, and why there are no more."""

    pairs: int
    needed: int
    reason: str


def plan_second_stage(log_ratios: Sequence[float], plan: SpeedPlan, *, spent_s: float) -> StagePlan:
    """Plan the pairs in all, by the log ratios of the first stage and the seconds that it took. Pure."""
    needed = pairs_needed(log_ratios, resolution=plan.resolution, confidence=plan.gate.confidence)
    budget_s = plan.gate.budget_minutes * SECONDS_PER_MINUTE
    affordable = max(len(log_ratios), math.floor(budget_s / (spent_s / len(log_ratios))))
    if needed <= affordable:
        return StagePlan(needed, needed, f"{needed} pairs reach the resolution of {plan.resolution:.1%}")
    reason = f"the budget of {plan.gate.budget_minutes:g} min ends before the {needed} pairs that are needed"
    return StagePlan(affordable, needed, reason)


def elsewhere(pairs: int) -> StagePlan:
    """Return the plan of a point that decides nothing."""
    return StagePlan(pairs, pairs, f"{pairs} pairs are declared for points other than the operating point")


def log_ratios(rounds: Sequence[MeasuredRound], plan: SpeedPlan, engine: str) -> list[float]:
    """Return log(engine / reference) of each pair of blocks."""
    return paired_log_ratios([one.result for one in rounds], plan.gate.metric, engine=engine)[1]


def finish_point(
    rounds: Sequence[MeasuredRound],
    sides: Sides,
    protocol: JudgingProtocol,
    *,
    first_stage: int,
    stage: StagePlan,
) -> tuple[SpeedPoint, str]:
    """Return the point of all rounds at one concurrency, in their order, and a line of progress."""
    reference, engine = (side.name for side in sides)
    point = SpeedPoint(
        concurrency=rounds[0].result.concurrency,
        first_stage_pairs=first_stage,
        planned_pairs=stage.needed,
        stopped=stage.reason,
        rounds=tuple(one.result for one in rounds),
        engine=summarize([one for one in rounds if one.result.side == engine]),
        reference=summarize([one for one in rounds if one.result.side == reference]),
    )
    interval = _interval(rounds, protocol.speed, engine, first_stage)
    line = (
        f"{point.concurrency} in flight: {engine} / {reference} = {interval.text()} "
        f"after {point.pairs_in_words} ({stage.reason})"
    )
    return point, line


def _interval(rounds: Sequence[MeasuredRound], plan: SpeedPlan, engine: str, first_stage: int) -> Interval:
    ratios = log_ratios(rounds, plan, engine)
    return ratio_interval(ratios, first_stage=first_stage, confidence=plan.gate.confidence)
