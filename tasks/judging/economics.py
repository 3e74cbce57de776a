"""What an engine saves and costs in a month at the declared load. Pure arithmetic, shown step by step.

Capacity is bought by the hour and follows the load, so device-hours are fractional. The engine is priced at
the lower bound of its speed ratio: what was proved, not what was seen. A build occupies one device for as
long as it took.
"""

from dataclasses import dataclass

from engine_specs.models import Economics
from engine_specs.workload import Workload
from tasks.judging.gates import meets
from tasks.judging.outcomes import EconomicsOutcome
from tasks.judging.results import LoadResult

DAYS_PER_MONTH = 365.25 / 12
SECONDS_PER_HOUR = 3600.0
HOPED_SPEEDUP = 2.0
"""A baseline is left alone where even an engine this many times as fast would not pay."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing is worth compiling; the verdict is `stay-on-vllm`."""

    reason: str
    economics: EconomicsOutcome


@dataclass(frozen=True, slots=True)
class Go:
    """Compiling may pay: build, measure and judge."""

    reason: str
    economics: EconomicsOutcome


def economics(
    prices: Economics,
    workload: Workload,
    *,
    reference_tokens_per_s: float,
    ratio: float,
    build_device_hours: float,
) -> EconomicsOutcome:
    """Compare a month on vLLM with a month on an engine `ratio` times as fast.

    Args:
        prices: declared prices and load.
        workload: gives the tokens of one request.
        reference_tokens_per_s: output tokens per second and device of the reference, greater than zero.
        ratio: engine / reference, at the lower bound.
        build_device_hours: device time of one build, quantization and measuring included.
    """
    requests = prices.requests_per_day * DAYS_PER_MONTH
    requests_per_device_hour = reference_tokens_per_s * SECONDS_PER_HOUR / workload.output_tokens
    reference_hours = requests / requests_per_device_hour
    engine_hours = reference_hours / ratio
    saved = (reference_hours - engine_hours) * prices.gpu_hour_usd
    build = build_device_hours * prices.builds_per_month * prices.gpu_hour_usd
    upkeep = prices.upkeep_hours_per_month * prices.engineer_hour_usd
    net = saved - build - upkeep
    break_even = (build + upkeep) / (saved / requests) / DAYS_PER_MONTH if saved > 0 else None
    lines = (
        (
            f"requests: {prices.requests_per_day:,.0f} per day x {DAYS_PER_MONTH:.2f} "
            f"days = {requests:,.0f} per month"
        ),
        (
            f"vLLM: {reference_tokens_per_s:,.1f} tokens/s / {workload.output_tokens} tokens x 3600 s = "
            f"{requests_per_device_hour:,.0f} requests per device-hour, "
            f"so {reference_hours:,.2f} device-hours"
        ),
        f"engine: {reference_hours:,.2f} device-hours / {ratio:.3f} = {engine_hours:,.2f} device-hours",
        (
            f"saved: {reference_hours - engine_hours:,.2f} device-hours x {prices.gpu_hour_usd:,.2f} USD = "
            f"{saved:,.2f} USD"
        ),
        (
            f"build: {build_device_hours:,.3f} device-hours x {prices.builds_per_month:g} per month x "
            f"{prices.gpu_hour_usd:,.2f} USD = {build:,.2f} USD"
        ),
        (
            f"upkeep: {prices.upkeep_hours_per_month:g} h x {prices.engineer_hour_usd:,.2f} "
            f"USD = {upkeep:,.2f} USD"
        ),
        f"net: {saved:,.2f} - {build:,.2f} - {upkeep:,.2f} = {net:,.2f} USD per month",
        _break_even_line(break_even),
    )
    return EconomicsOutcome(
        outcome="positive" if net > 0 else "negative",
        reason=_reason(ratio, saved=saved, costs=build + upkeep, net=net, break_even=break_even),
        reference_device_hours=reference_hours,
        engine_device_hours=engine_hours,
        saved_usd=saved,
        build_usd=build,
        upkeep_usd=upkeep,
        net_usd=net,
        break_even_requests_per_day=break_even,
        lines=lines,
    )


def _break_even_line(break_even: float | None) -> str:
    if break_even is None:
        return "break-even: never; the engine saves nothing per request"
    return f"break-even: {break_even:,.0f} requests per day"


def _reason(ratio: float, *, saved: float, costs: float, net: float, break_even: float | None) -> str:
    breaks = (
        "no load pays for it" if break_even is None else f"it breaks even at {break_even:,.0f} requests a day"
    )
    device_time = f"saves {saved:,.2f} USD" if saved >= 0 else f"takes {-saved:,.2f} USD more"
    return (
        f"At {ratio:.3f} times vLLM's speed the engine {device_time} of device time a month and costs "
        f"{costs:,.2f} USD in builds and upkeep: {net:,.2f} USD net; {breaks}."
    )


def baseline_decision(
    load: LoadResult,
    prices: Economics,
    workload: Workload,
    *,
    compile_mode: str,
    build_device_hours: float = 0.0,
) -> Stay | Go:
    """Whether compiling is worth a try, from vLLM's own numbers.

    Under `when-justified`, stay where vLLM meets the SLO and an engine `HOPED_SPEEDUP` times as fast would
    not pay. `build_device_hours` is an estimate (of the last build, say); zero is the most favourable to
    compiling.
    """
    summary = load.at_operating_point.summary
    hoped = economics(
        prices,
        workload,
        reference_tokens_per_s=summary.throughput_per_device.estimate,
        ratio=HOPED_SPEEDUP,
        build_device_hours=build_device_hours,
    )
    found = (
        f"vLLM gives {summary.throughput_per_device.text('{:.0f}')} tokens/s per device with TTFT p99 "
        f"{summary.ttft_ms.p99:.1f} ms (limit {workload.slo.ttft_p99_ms:g}) "
        f"and ITL p99 {summary.itl_ms.p99:.2f} ms "
        f"(limit {workload.slo.itl_p99_ms:g})."
    )
    if compile_mode == "always":
        return Go(f"{found} The spec says compile: always.", hoped)
    if not meets(summary, workload.slo):
        return Go(f"{found} It misses the objective, so an engine is worth a try.", hoped)
    if hoped.outcome == "positive":
        return Go(f"{found} It meets the objective, and twice its speed would pay: {hoped.reason}", hoped)
    return Stay(
        f"{found} It meets the objective, and not even twice its speed would pay: {hoped.reason}", hoped
    )
