"""The decision before anything is compiled: whether an engine is worth trying, by vLLM's figures. Pure."""

from dataclasses import dataclass

from engine_specs.spec import Economics, Slo, Workload
from tasks.judging.gates import (
    EconomicsOutcome,
    Figure,
    Tile,
    compare_months,
    interval_figure,
    latency_figures,
    meets,
    money_tiles,
)
from tasks.judging.results import LoadResult

HOPED_SPEEDUP = 2.0
"""Nothing is compiled if even an engine this many times as fast would not pay off."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing is worth compiling; the verdict is `stay-on-vllm`."""

    reason: str
    economics: EconomicsOutcome

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """What an engine of the hoped-for speed would be worth, for the report."""
        return money_tiles(self.economics)


@dataclass(frozen=True, slots=True)
class Go:
    """Compiling may pay off: build, measure and judge."""

    reason: str
    economics: EconomicsOutcome


def baseline_decision(
    load: LoadResult,
    prices: Economics,
    workload: Workload,
    *,
    compile_mode: str,
    build_device_hours: float = 0.0,
) -> Stay | Go:
    """Decide whether compiling is worth trying, by vLLM's own figures.

    With `when-justified`, the decision is to stay if vLLM meets the SLO and an engine `HOPED_SPEEDUP` times
    as fast would not pay off. `build_device_hours` is an estimate, such as that of the last build; zero
    favours compiling.
    """
    summary = load.at_operating_point.summary
    hoped = compare_months(
        prices,
        workload,
        reference_tokens_per_s=summary.throughput_per_device.estimate,
        ratio=HOPED_SPEEDUP,
        build_device_hours=build_device_hours,
    )
    found = (
        f"vLLM reaches {summary.throughput_per_device.text('{:.0f}')} tokens/s per device with TTFT p99 "
        f"{summary.ttft_ms.p99:.1f} ms (limit {workload.slo.ttft_p99_ms:g}) "
        f"and ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"(limit {workload.slo.itl_p99_ms:g})."
    )
    if compile_mode == "always":
        return Go(f"{found} The spec says compile: always.", hoped)
    if not meets(summary, workload.slo):
        return Go(f"{found} It misses the objective, so an engine is worth trying.", hoped)
    if hoped.outcome == "positive":
        return Go(f"{found} It meets the objective, and twice its speed would pay off: {hoped.reason}", hoped)
    return Stay(
        f"{found} It meets the objective, and not even twice its speed would pay off: {hoped.reason}", hoped
    )


def load_figures(load: LoadResult, slo: Slo) -> tuple[Figure, ...]:
    """Return the figures of vLLM alone."""
    summary = load.at_operating_point.summary
    return (
        interval_figure("speed: throughput", "tokens/s", summary.throughput_per_device, "{:,.0f}"),
        *latency_figures(summary, summary, slo),
    )
