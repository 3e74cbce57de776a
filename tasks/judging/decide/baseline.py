"""The decision before anything is compiled: whether an engine is worth trying, by vLLM's figures. Pure."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Economics, Slo, Workload
from engine_specs.tables import HopedSpeedup
from tasks.judging.conditions import host_in_words
from tasks.judging.gates import (
    EconomicsOutcome,
    Figure,
    Map,
    Tile,
    compare_months,
    hoped_capacities,
    interval_figure,
    latency_figures,
    money_map,
    money_tiles,
)
from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import LoadResult
from tasks.judging.statistics import (
    Kept,
    attempt_confidence,
    baseline_served,
    by_estimates,
    meets,
    open_loop_limits,
    requests_of_look,
    shown_of,
)

RATED = (
    "what is in doubt counts for the engine: vLLM is rated where it was shown to meet the objective, or at "
    "most at the operating point; the engine as fast as hoped, wherever it may meet it"
)
"""Where both are rated, for the report."""


class BaselineTerms(Frozen):
    """What the decision depends on besides the baseline; new terms need no new measurement."""

    prices: Economics = Field(description="Declared prices and load.")
    workload: Workload = Field(description="The declared workload.")
    speedup: HopedSpeedup = Field(
        description="How much faster than vLLM an engine of this kind can be hoped to be."
    )
    compile_mode: Literal["when-justified", "always"] = Field(
        description="What the spec says about compiling."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Of what rounds and arrivals show of the objective."
    )
    build_device_hours: float = Field(
        default=0.0,
        ge=0,
        description="An estimate, such as that of the last build; zero favours compiling.",
    )


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing is worth compiling; the verdict is `stay-on-vllm`."""

    reason: str
    economics: EconomicsOutcome

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """What an engine of the hoped-for speed would be worth, for the report."""
        return money_tiles(self.economics, "both by the upper bound of vLLM's rate")

    @property
    def map(self) -> Map:
        """The same at other loads and prices."""
        return money_map(self.economics)


@dataclass(frozen=True, slots=True)
class Go:
    """Compiling may pay off: build, measure and judge."""

    reason: str
    economics: EconomicsOutcome


def baseline_decision(load: LoadResult, terms: BaselineTerms) -> Stay | Go:
    """Decide whether compiling is worth trying, by vLLM's own figures.

    With `when-justified`, the decision is to stay if vLLM was shown to meet the SLO in open loop, and an
    engine as fast as can be hoped would not pay off, counted as the gate `economics` counts.
    """
    found, hoped = _found(load, terms), _hoped(load, terms)
    if reason := _worth_trying(load, terms, hoped):
        return Go(f"{found} {reason}", hoped)
    times = _hoped_times(terms)
    shown, said = _in_open_loop(load, terms)
    if shown == "met":
        return Stay(f"{found} {said} Not even {times} would pay off: {hoped.reason}", hoped)
    return Go(
        f"{found} {said} An engine is worth trying next to a vLLM that may miss the objective, although not "
        f"even {times} would pay off.",
        hoped,
    )


def suffices_so_far(load: LoadResult, terms: BaselineTerms) -> bool:
    """Whether vLLM suffices if it meets the objective in open loop, too."""
    return not _worth_trying(load, terms, _hoped(load, terms))


def lacks_open_loop(load: LoadResult, terms: BaselineTerms) -> bool:
    """Whether the decision depends on open loop, and vLLM was not asked in it, such as under other terms."""
    return load.open_loop is None and suffices_so_far(load, terms)


def _hoped(load: LoadResult, terms: BaselineTerms) -> EconomicsOutcome:
    """Return what an engine as fast as can be hoped would be worth."""
    reference, engine = hoped_capacities(
        load.points, terms.workload, load.side.devices, terms.speedup.ratio, terms.confidence
    )
    return compare_months(
        terms.prices,
        terms.workload,
        reference=reference,
        engine=engine,
        build_device_hours=terms.build_device_hours,
        rated=(RATED,),
    )


def _hoped_times(terms: BaselineTerms) -> str:
    return f"{terms.speedup.ratio:g} times its speed, the most that can be hoped of this kind,"


def _found(load: LoadResult, terms: BaselineTerms) -> str:
    summary, slo = load.at_operating_point.summary, terms.workload.slo
    found = (
        f"vLLM reaches {summary.throughput_per_device.text('{:.0f}')} tokens/s per device with TTFT p99 "
        f"{summary.ttft_ms.p99:.1f} ms (limit {slo.ttft_p99_ms:g}) "
        f"and ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"(limit {slo.itl_p99_ms:g})."
    )
    loads = [one.load for point in load.points for one in point.rounds]
    return " ".join((found, *host_in_words(load.quiet_host, loads)))


def _worth_trying(load: LoadResult, terms: BaselineTerms, hoped: EconomicsOutcome) -> str:
    """Return why compiling is worth trying, whatever open loop says; empty if nothing speaks for it."""
    if load.host_busy:
        return f"The host was busy, so these figures decide nothing: {load.host_busy}."
    if terms.compile_mode == "always":
        return "The spec says compile: always."
    if not meets(load.at_operating_point.summary, terms.workload.slo):
        return "It misses the objective, so an engine is worth trying."
    if hoped.outcome == "positive":
        return f"It meets the objective, and {_hoped_times(terms)} would pay off: {hoped.reason}"
    return ""


def _in_open_loop(load: LoadResult, terms: BaselineTerms) -> tuple[Kept, str]:
    """Return what is shown of the objective, in open loop and in rounds, and say so."""
    asked, slo = load.open_loop, terms.workload.slo
    if asked is None:
        return "underpowered", "It was not asked in open loop."
    rounds = load.at_operating_point.rounds
    confidence = attempt_confidence(terms.confidence, 1)
    shown, limits = shown_of(asked, rounds, slo, confidence), open_loop_limits(asked, slo, confidence)
    begin = f"In open loop, at {asked.arrivals_per_s:.3g} requests per second ({asked.load}),"
    if limits is None:
        return shown, f"{begin} no request was sent: {asked.stopped}."
    late, slow = limits
    end = {"met": "it meets", "missed": "it misses", "underpowered": "it was not shown to meet"}[shown]
    return shown, (
        f"{begin} {late.estimate:.2%} of {len(asked.requests)} first tokens were late, at most "
        f"{late.upper:.2%}, and {slow.estimate:.2%} of gaps too long, at most {slow.upper:.2%}: {end} the "
        "objective."
    )


def objective_needs(load: LoadResult, workload: Workload, plan: SpeedPlan, speedup: HopedSpeedup) -> str:
    """Say how long it takes to show that an engine meets the objective, before there is one.

    Args:
        load: the baseline, which says what vLLM can serve.
        workload: the declared workload.
        plan: confidence and budget.
        speedup: how much faster than vLLM an engine of this kind can be hoped to be.
    """
    requests = requests_of_look(attempt_confidence(plan.confidence, 1), 1)
    best = by_estimates(baseline_served(load.points, workload.slo, plan.confidence), workload.slo).summary
    most = speedup.ratio * best.throughput_per_device.estimate * load.side.devices / workload.output_tokens
    per_s = workload.arrivals.per_s or workload.arrivals.share_of_capacity * most
    minutes = requests / per_s / 60
    said = (
        f"to show that an engine meets the objective takes {requests} requests in open loop: about "
        f"{60 * minutes:.0f} s at {per_s:.3g} per second, with {speedup.ratio:g} times vLLM's speed"
    )
    if minutes < plan.gate.budget_minutes:
        return f"{said}, of a budget of {plan.gate.budget_minutes:g} min"
    return (
        f"{said}. The budget of {plan.gate.budget_minutes:g} min is too small, so the verdict will be "
        f"inconclusive: raise validation.speed.budget_minutes to more than {math.ceil(minutes)}"
    )


def load_figures(load: LoadResult, slo: Slo) -> tuple[Figure, ...]:
    """Return the figures of vLLM alone."""
    summary = load.at_operating_point.summary
    return (
        interval_figure("speed: throughput", "tokens/s", summary.throughput_per_device, "{:,.0f}"),
        *latency_figures(summary, summary, slo),
    )
