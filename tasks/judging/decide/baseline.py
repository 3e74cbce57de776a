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
from tasks.judging.statistics import Served, attempt_confidence, meets, on_trial, requests_of_look

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

    With `when-justified`, the decision is to stay if vLLM meets the SLO and an engine as fast as can be hoped
    would not pay off, counted as the gate `economics` counts.
    """
    workload, speedup = terms.workload, terms.speedup
    summary = load.at_operating_point.summary
    reference, engine = hoped_capacities(
        load.points, workload, load.side.devices, speedup.ratio, terms.confidence
    )
    hoped = compare_months(
        terms.prices,
        workload,
        reference=reference,
        engine=engine,
        build_device_hours=terms.build_device_hours,
        rated=(RATED,),
    )
    times = f"{speedup.ratio:g} times its speed, the most that can be hoped of this kind,"
    found = (
        f"vLLM reaches {summary.throughput_per_device.text('{:.0f}')} tokens/s per device with TTFT p99 "
        f"{summary.ttft_ms.p99:.1f} ms (limit {workload.slo.ttft_p99_ms:g}) "
        f"and ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"(limit {workload.slo.itl_p99_ms:g})."
    )
    loads = [one.load for point in load.points for one in point.rounds]
    if host := host_in_words(load.quiet_host, loads):
        found += f" {host}"
    if load.host_busy:
        return Go(f"{found} The host was busy, so these figures decide nothing: {load.host_busy}.", hoped)
    if terms.compile_mode == "always":
        return Go(f"{found} The spec says compile: always.", hoped)
    if not meets(summary, workload.slo):
        return Go(f"{found} It misses the objective, so an engine is worth trying.", hoped)
    if hoped.outcome == "positive":
        return Go(f"{found} It meets the objective, and {times} would pay off: {hoped.reason}", hoped)
    return Stay(f"{found} It meets the objective, and not even {times} would pay off: {hoped.reason}", hoped)


def objective_needs(load: LoadResult, workload: Workload, plan: SpeedPlan, speedup: HopedSpeedup) -> str:
    """Say how long it takes to show that an engine meets the objective, before there is one.

    Args:
        load: the baseline, which says what vLLM can serve.
        workload: the declared workload.
        plan: confidence and budget.
        speedup: how much faster than vLLM an engine of this kind can be hoped to be.
    """
    requests = requests_of_look(attempt_confidence(plan.confidence, 1), 1)
    served = [Served(point.summary, "underpowered") for point in load.points]
    best = on_trial(served, workload.slo).summary
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
