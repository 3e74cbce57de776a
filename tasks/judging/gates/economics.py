"""What an engine saves and costs in a month at the declared load. Pure arithmetic, shown step by step.

Capacity is bought by the hour and follows the load, so device-hours are fractional. The engine is priced at
the lower bound of its speed ratio: what was proved, not what was seen. A build occupies one device for as
long as it took; measuring occupies the devices of all sides.
"""

from dataclasses import dataclass

from engine_specs.spec import Economics, Workload
from tasks.judging.gates.gates import meets
from tasks.judging.gates.outcomes import EconomicsOutcome
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
    month = _Month(prices, workload, reference_tokens_per_s, ratio, build_device_hours)
    return EconomicsOutcome(
        outcome="positive" if month.net_usd > 0 else "negative",
        reason=month.reason(),
        reference_device_hours=month.reference_hours,
        engine_device_hours=month.engine_hours,
        saved_usd=month.saved_usd,
        build_usd=month.build_usd,
        upkeep_usd=month.upkeep_usd,
        net_usd=month.net_usd,
        break_even_requests_per_day=month.break_even,
        lines=month.lines(),
    )


class _Month:
    """One month on both sides; arguments as in `economics`."""

    def __init__(
        self,
        prices: Economics,
        workload: Workload,
        reference_tokens_per_s: float,
        ratio: float,
        build_device_hours: float,
    ) -> None:
        self._prices, self._workload, self._ratio = prices, workload, ratio
        self._tokens_per_s, self._build_hours = reference_tokens_per_s, build_device_hours
        self._requests = prices.requests_per_day * DAYS_PER_MONTH
        self._requests_per_hour = reference_tokens_per_s * SECONDS_PER_HOUR / workload.output_tokens
        self.reference_hours = self._requests / self._requests_per_hour
        self.engine_hours = self.reference_hours / ratio
        self.saved_usd = (self.reference_hours - self.engine_hours) * prices.gpu_hour_usd
        self.build_usd = build_device_hours * prices.builds_per_month * prices.gpu_hour_usd
        self.upkeep_usd = prices.upkeep_hours_per_month * prices.engineer_hour_usd
        self.net_usd = self.saved_usd - self.build_usd - self.upkeep_usd

    @property
    def break_even(self) -> float | None:
        """Requests a day at which the net is zero; None where no load does it."""
        if self.saved_usd <= 0:
            return None
        return (self.build_usd + self.upkeep_usd) / (self.saved_usd / self._requests) / DAYS_PER_MONTH

    def lines(self) -> tuple[str, ...]:
        """The arithmetic, one step a line."""
        return (*self._load_lines(), *self._money_lines())

    def _load_lines(self) -> tuple[str, ...]:
        prices, before, after = self._prices, self.reference_hours, self.engine_hours
        return (
            (
                f"requests: {prices.requests_per_day:,.0f} per day x {DAYS_PER_MONTH:.2f} days = "
                f"{self._requests:,.0f} per month"
            ),
            (
                f"vLLM: {self._tokens_per_s:,.1f} tokens/s / {self._workload.output_tokens} tokens x 3600 s "
                f"= {self._requests_per_hour:,.0f} requests per device-hour, so {before:,.2f} device-hours"
            ),
            f"engine: {before:,.2f} device-hours / {self._ratio:.3f} = {after:,.2f} device-hours",
        )

    def _money_lines(self) -> tuple[str, ...]:
        prices, hours = self._prices, self.reference_hours - self.engine_hours
        return (
            f"saved: {hours:,.2f} device-hours x {prices.gpu_hour_usd:,.2f} USD = {self.saved_usd:,.2f} USD",
            (
                f"build and measuring: {self._build_hours:,.3f} device-hours x "
                f"{prices.builds_per_month:g} per month x {prices.gpu_hour_usd:,.2f} USD = "
                f"{self.build_usd:,.2f} USD"
            ),
            (
                f"upkeep: {prices.upkeep_hours_per_month:g} h x {prices.engineer_hour_usd:,.2f} USD = "
                f"{self.upkeep_usd:,.2f} USD"
            ),
            (
                f"net: {self.saved_usd:,.2f} - {self.build_usd:,.2f} - {self.upkeep_usd:,.2f} = "
                f"{self.net_usd:,.2f} USD per month"
            ),
            f"break-even: {self._break_even_text()}",
        )

    def _break_even_text(self) -> str:
        if self.break_even is None:
            return "never; the engine saves nothing per request"
        return f"{self.break_even:,.0f} requests per day"

    def reason(self) -> str:
        """One sentence."""
        saved, costs = self.saved_usd, self.build_usd + self.upkeep_usd
        device_time = f"saves {saved:,.2f} USD" if saved >= 0 else f"takes {-saved:,.2f} USD more"
        breaks = (
            "no load pays for it"
            if self.break_even is None
            else f"it breaks even at {self.break_even:,.0f} requests a day"
        )
        return (
            f"At {self._ratio:.3f} times vLLM's speed the engine "
            f"{device_time} of device time a month and costs "
            f"{costs:,.2f} USD in builds and upkeep: {self.net_usd:,.2f} USD net; {breaks}."
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
