"""The gate `economics`: what an engine saves and costs per month at the declared load, shown step by step.

Capacity is bought by the hour and follows the load, so device-hours are fractional. The engine is priced at
the lower bound of its speed ratio, which is proven, not at the estimate. A build occupies one device for as
long as it takes; a measurement occupies the devices of all sides.
"""

from typing import Literal

from pydantic import Field

from engine_specs.spec import Economics, Workload
from tasks.judging.gates.figures import Figure, Shown, Tile
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.statistics import point_ratio

DAYS_PER_MONTH = 365.25 / 12
SECONDS_PER_HOUR = 3600.0


class EconomicsOutcome(GateOutcome):
    """Money per month at the declared load."""

    outcome: Literal["positive", "negative"]
    reference_device_hours: float
    engine_device_hours: float = Field(description="At the lower bound of the speed ratio.")
    saved_usd: float = Field(description="Device time saved per month.")
    build_usd: float = Field(description="Device time of a month's builds, measurements included.")
    upkeep_usd: float = Field(description="Engineers' time per month.")
    net_usd: float
    break_even_requests_per_day: float | None = Field(
        description="Load at which the net is zero; None if the engine saves nothing per request."
    )
    lines: tuple[str, ...] = Field(description="The arithmetic, one step per line.")


class EconomicsGate(Gate[EconomicsOutcome]):
    """The gate; see the module. It decides last, together with what the spec says about compiling."""

    name = "economics"
    asks = "prices"
    section = "Economics"
    conditions = (Condition("economics", ("positive", "negative")),)
    outcome_type = EconomicsOutcome
    rules = (
        Rule(
            "does-not-pay",
            {"economics": ("negative",), "compile": ("when-justified",)},
            "stay-on-vllm",
            "the engine is faster, but costs more than it saves at the declared load",
        ),
        Rule(
            "pays",
            {"economics": ("positive",)},
            "compile",
            "accurate, within the SLO, faster than the bar, and worth its upkeep",
            after=("speed",),
        ),
        Rule(
            "always-compile",
            {"economics": ("negative",), "compile": ("always",)},
            "compile",
            "accurate, within the SLO and faster; it does not pay off, but the spec says compile: always",
            after=("speed",),
        ),
    )

    def judge(self, evidence: Evidence) -> EconomicsOutcome:
        """Judge what the engine is worth at the lower bound of its ratio."""
        point, protocol, terms = evidence.point, evidence.protocol, evidence.known_terms
        return compare_months(
            terms.prices,
            protocol.workload,
            reference_tokens_per_s=point.reference.throughput_per_device.estimate,
            ratio=point_ratio(point, protocol.speed).interval.lower,
            build_device_hours=terms.build_device_hours,
        )

    def show(self, outcome: EconomicsOutcome, evidence: Evidence) -> Shown:
        """Show the net per month, and the arithmetic."""
        asked = evidence.known_terms.compile_mode == "when-justified"
        limit = "more than 0" if asked else "none (compile: always)"
        net = Figure("economics: net", "USD/month", f"{outcome.net_usd:,.2f}", limit=limit)
        return Shown((net,), money_tiles(outcome), outcome.lines)


def money_tiles(outcome: EconomicsOutcome) -> tuple[Tile, ...]:
    """Return tiles for money, device-hours, and the load at which the engine breaks even."""
    saved, builds, upkeep = outcome.saved_usd, outcome.build_usd, outcome.upkeep_usd
    even = outcome.break_even_requests_per_day
    return (
        Tile(
            "Net per month",
            f"{outcome.net_usd:,.0f}",
            "USD",
            f"saved {saved:,.0f}, builds {builds:,.0f}, upkeep {upkeep:,.0f}",
        ),
        Tile(
            "Device-hours per month",
            f"{outcome.engine_device_hours:,.0f}",
            f"against {outcome.reference_device_hours:,.0f}",
            "engine at the lower bound, against vLLM",
        ),
        Tile("Breaks even at", "never", note="it saves nothing per request")
        if even is None
        else Tile("Breaks even at", f"{even:,.0f}", "requests a day", "at these prices and this ratio"),
    )


def compare_months(
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
        reference_tokens_per_s: output tokens per second and device of the reference; greater than zero.
        ratio: engine / reference, at the lower bound.
        build_device_hours: device time of one build, quantization and measurement included.
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
    """One month on both sides; the arguments are those of `economics`."""

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
        """Requests per day at which the net is zero; None if there is no such load."""
        if self.saved_usd <= 0:
            return None
        return (self.build_usd + self.upkeep_usd) / (self.saved_usd / self._requests) / DAYS_PER_MONTH

    def lines(self) -> tuple[str, ...]:
        """Return the arithmetic, one step per line."""
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
        """Return the reason for the outcome, in one sentence."""
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
