"""The gate `economics`: what an engine saves and costs per month at the declared load, shown step by step.

Devices are bought whole and for the month, as many as the peak of the load takes, at the declared share of
what they can serve; those of the reference at the upper bound of its rate, those of the engine at the lower
bound of its own, each at the concurrency where what is in doubt speaks for the reference (`capacity`). A
build occupies one device for as long as it takes; a measurement occupies the devices of all sides.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Economics, Workload
from tasks.judging.gates.figures import Figure, Map, Shown, Tile
from tasks.judging.gates.gate import Evidence, Gate, GateOutcome
from tasks.judging.gates.money.capacity import (
    SECONDS_PER_DAY,
    Capacity,
    capacities,
    devices_for,
    peak_tokens_per_s,
    planned_tokens_per_s,
)
from tasks.judging.gates.rule import Condition, Rule
from tasks.judging.results import SpeedResult
from tasks.judging.statistics import Kept, attempt_confidence

WAY_OF_COUNTING = "whole-devices-at-the-planned-share-of-the-best-rate-within-the-objective/4"
"""How this version counts money; verdicts that were counted in another way are not reused."""

DAYS_PER_MONTH = 365.25 / 12
HOURS_PER_MONTH = 24 * DAYS_PER_MONTH
FASTER: dict[str, tuple[str, ...]] = {"speed": ("faster",), "reference slo": ("not-missed",)}
"""What other gates leave to this one."""
SLO_MET, SLO_UNDERPOWERED = FASTER | {"slo": ("met",)}, FASTER | {"slo": ("underpowered",)}
# Other loads and prices of the map, as multiples of the declared ones.
LOADS, PRICES = (0.1, 0.3, 1.0, 3.0, 10.0), (0.5, 1.0, 2.0)
# Servers of the reference up to which a load that pays is looked for.
MOST_SERVERS = 100_000
RATES = "engine at the lower bound of its rate, vLLM at the upper one"
RATED = (
    "vLLM counts where it may serve most: wherever its rounds do not show that it misses the objective",
    "the engine counts where its load in open loop is from, which shows whether it meets the objective",
)
"""Where each side is rated, for the report."""
OF_OBJECTIVE: dict[Kept, str] = {
    "met": "its rounds show that it meets the objective",
    "underpowered": "its rounds do not show that it misses the objective",
    "missed": "its rounds show that it misses the objective",
}


class MapCell(Frozen):
    """What a month is worth at another load and price."""

    requests_per_day: float
    gpu_hour_usd: float
    net_usd: float


class EconomicsOutcome(GateOutcome):
    """Money per month at the declared load."""

    outcome: Literal["positive", "negative"]
    reference: Capacity = Field(description="The rate of vLLM, at its upper bound.")
    engine: Capacity = Field(description="The rate of the engine, at its lower bound.")
    reference_devices: int = Field(ge=1, description="Devices that vLLM takes, spare ones included.")
    engine_devices: int = Field(ge=1, description="Devices that the engine takes, spare ones included.")
    saved_usd: float = Field(description="Device time saved per month.")
    build_usd: float = Field(description="Device time of a month's builds, measurements included.")
    upkeep_usd: float = Field(description="Engineers' time per month.")
    net_usd: float
    break_even_requests_per_day: float | None = Field(
        description="The smallest load at which the engine pays; None if there is none. As devices are "
        "whole, it may not pay at a somewhat larger load."
    )
    lines: tuple[str, ...] = Field(
        description="How the sides are rated, and the arithmetic, one step per line."
    )
    map: tuple[MapCell, ...] = Field(description="The net at other loads and prices.")


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
            {"economics": ("negative",), "compile": ("when-justified",), **FASTER},
            "stay-on-vllm",
            "the engine is faster, but costs more than it saves at the declared load",
        ),
        Rule(
            "pays-slo-underpowered",
            {"economics": ("positive",), **SLO_UNDERPOWERED},
            "inconclusive",
            "the engine would pay, but was shown neither to meet the service level objective nor to miss it",
            after=("slo",),
        ),
        Rule(
            "always-slo-underpowered",
            {"economics": ("negative",), "compile": ("always",), **SLO_UNDERPOWERED},
            "inconclusive",
            "the engine was shown neither to meet the service level objective nor to miss it",
            after=("slo",),
        ),
        Rule(
            "pays",
            {"economics": ("positive",), **SLO_MET},
            "compile",
            "accurate, within the SLO, faster than the bar, and worth its upkeep",
            after=("speed",),
        ),
        Rule(
            "always-compile",
            {"economics": ("negative",), "compile": ("always",), **SLO_MET},
            "compile",
            "accurate, within the SLO and faster; it does not pay off, but the spec says compile: always",
            after=("speed",),
        ),
    )

    def judge(self, evidence: Evidence) -> EconomicsOutcome:
        """Judge what the engine is worth, each side where it is best within the objective."""
        protocol, terms = evidence.protocol, evidence.known_terms
        timed = evidence.timed
        confidence = attempt_confidence(protocol.speed.confidence, timed.attempt)
        reference, engine = capacities(timed, protocol.workload.slo, confidence)
        return compare_months(
            terms.prices,
            protocol.workload,
            reference=reference,
            engine=engine,
            build_device_hours=terms.build_device_hours,
            rated=(*RATED, *_elsewhere_unknown(timed)),
        )

    def show(self, outcome: EconomicsOutcome, evidence: Evidence) -> Shown:
        """Show the net per month, and the arithmetic."""
        asked = evidence.known_terms.compile_mode == "when-justified"
        limit = "more than 0" if asked else "none (compile: always)"
        net = Figure("economics: net", "USD/month", f"{outcome.net_usd:,.2f}", limit=limit)
        return Shown((net,), money_tiles(outcome), outcome.lines, money_map(outcome), worth_in_words(outcome))


def _elsewhere_unknown(timed: SpeedResult) -> Iterator[str]:
    """Yield which references are rated without figures of all concurrencies, or not at all."""
    if timed.others and len(timed.points) > 1:
        names = " and ".join(one.reference.side for one in timed.others)
        yield f"{names}: timed at {timed.operating_point} in flight only, so rated there, or not counted"
    if timed.left_out:
        yield f"{' and '.join(one.reference for one in timed.left_out)}: not timed, so not counted"


def worth_in_words(outcome: EconomicsOutcome) -> str:
    """Return what an engine is worth, as a clause about it."""
    if outcome.net_usd > 0:
        return f"it is worth {outcome.net_usd:,.0f} USD a month at the declared load"
    return f"it would cost {abs(outcome.net_usd):,.0f} USD a month more than vLLM at the declared load"


def money_tiles(outcome: EconomicsOutcome, rates: str = RATES) -> tuple[Tile, ...]:
    """Return tiles for money, devices, and the load from which the engine pays.

    `rates` says by which rates the devices are counted.
    """
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
            "Devices",
            f"{outcome.engine_devices:,}",
            f"instead of {outcome.reference_devices:,}",
            rates,
        ),
        Tile("Pays from", "no load", note="at these prices and rates")
        if even is None
        else Tile("Pays from", f"{even:,.0f}", "requests a day", "at these prices and rates"),
    )


def money_map(outcome: EconomicsOutcome) -> Map:
    """Return the net per month, by load (down) and price (across)."""
    cells, width = outcome.map, len(PRICES)
    rows = [cells[start : start + width] for start in range(0, len(cells), width)]
    return Map(
        values_are="net per month, USD",
        down="requests a day",
        across="USD per device-hour",
        rows=tuple(f"{row[0].requests_per_day:,.0f}" for row in rows),
        columns=tuple(f"{cell.gpu_hour_usd:,.2f}" for cell in rows[0]),
        values=tuple(tuple(cell.net_usd for cell in row) for row in rows),
        declared=(LOADS.index(1.0), PRICES.index(1.0)),
    )


def compare_months(
    prices: Economics,
    workload: Workload,
    *,
    reference: Capacity,
    engine: Capacity,
    build_device_hours: float,
    rated: Sequence[str] = (),
) -> EconomicsOutcome:
    """Compare a month on vLLM with a month on an engine.

    Args:
        prices: declared prices and load.
        workload: gives the tokens of one request.
        reference: what vLLM serves.
        engine: what the engine serves.
        build_device_hours: device time of one build, quantization and measurement included.
        rated: how the rates of both sides came about, in sentences that come before the arithmetic.
    """
    month = _Month(prices, workload, reference, engine, build_device_hours)
    return EconomicsOutcome(
        outcome="positive" if month.net_usd > 0 else "negative",
        reason=month.reason(),
        reference=reference,
        engine=engine,
        reference_devices=month.reference_devices,
        engine_devices=month.engine_devices,
        saved_usd=month.saved_usd,
        build_usd=month.build_usd,
        upkeep_usd=month.upkeep_usd,
        net_usd=month.net_usd,
        break_even_requests_per_day=month.break_even(),
        lines=(*rated, *month.lines()),
        map=tuple(month.elsewhere()),
    )


class _Month:
    """One month on both sides; the arguments are those of `compare_months`."""

    def __init__(
        self,
        prices: Economics,
        workload: Workload,
        reference: Capacity,
        engine: Capacity,
        build_device_hours: float,
    ) -> None:
        self._prices, self._workload, self._build_hours = prices, workload, build_device_hours
        self._reference, self._engine = reference, engine
        self._peak = peak_tokens_per_s(prices, workload)
        self.reference_devices = devices_for(self._peak, reference, workload, prices.spare_servers)
        self.engine_devices = devices_for(self._peak, engine, workload, prices.spare_servers)
        self._device_usd = HOURS_PER_MONTH * prices.gpu_hour_usd
        self.saved_usd = (self.reference_devices - self.engine_devices) * self._device_usd
        self.build_usd = build_device_hours * prices.builds_per_month * prices.gpu_hour_usd
        self.upkeep_usd = prices.upkeep_hours_per_month * prices.engineer_hour_usd
        self.net_usd = self.saved_usd - self.build_usd - self.upkeep_usd

    def break_even(self) -> float | None:
        """Return the smallest load, in requests per day, at which more is saved than spent.

        The reference needs one more server just above each multiple of what one serves: only there can an
        engine begin to pay.
        """
        per_request = self._peak / self._prices.requests_per_day
        step, spare = planned_tokens_per_s(self._reference, self._workload), self._prices.spare_servers
        own = planned_tokens_per_s(self._engine, self._workload)
        if self._device_usd == 0 or own / self._engine.devices <= step / self._reference.devices:
            return None
        for servers in range(MOST_SERVERS):
            load = math.nextafter(servers * step, math.inf)
            theirs, mine = (
                devices_for(load, side, self._workload, spare) for side in (self._reference, self._engine)
            )
            fewer = theirs - mine
            if fewer * self._device_usd > self.build_usd + self.upkeep_usd:
                return load / per_request
        return None

    def elsewhere(self) -> Iterator[MapCell]:
        """Yield the net at other loads and prices."""
        for load in LOADS:
            for price in PRICES:
                changed = self._prices.model_copy(
                    update={
                        "requests_per_day": self._prices.requests_per_day * load,
                        "gpu_hour_usd": self._prices.gpu_hour_usd * price,
                    }
                )
                month = _Month(changed, self._workload, self._reference, self._engine, self._build_hours)
                yield MapCell(
                    requests_per_day=changed.requests_per_day,
                    gpu_hour_usd=changed.gpu_hour_usd,
                    net_usd=month.net_usd,
                )

    def lines(self) -> Iterator[str]:
        """Yield the arithmetic, one step per line."""
        yield from self._load_lines()
        yield from self._money_lines()

    def _load_lines(self) -> Iterator[str]:
        prices, tokens = self._prices, self._workload.output_tokens
        yield (
            f"load: {prices.requests_per_day:,.0f} requests per day / {SECONDS_PER_DAY:,.0f} s x {tokens} "
            f"tokens x {prices.peak_to_mean:g} at the peak = {self._peak:,.1f} tokens/s"
        )
        for side, devices in (
            (self._reference, self.reference_devices),
            (self._engine, self.engine_devices),
        ):
            planned = planned_tokens_per_s(side, self._workload)
            spare = f", of which {prices.spare_servers} servers are spare" if prices.spare_servers else ""
            yield (
                f"{side.side}: {side.tokens_per_s:,.1f} tokens/s per device at {side.concurrency} in flight "
                f"({OF_OBJECTIVE[side.shown]}), planned with {planned:,.1f} per server; "
                f"{_devices(side.devices)} per server: {_devices(devices)}{spare}"
            )

    def _money_lines(self) -> Iterator[str]:
        prices, fewer = self._prices, self.reference_devices - self.engine_devices
        yield (
            f"saved: {_devices(fewer)} x {HOURS_PER_MONTH:.1f} h x {prices.gpu_hour_usd:,.2f} USD = "
            f"{self.saved_usd:,.2f} USD"
        )
        yield (
            f"build and measuring: {self._build_hours:,.3f} device-hours x {prices.builds_per_month:g} per "
            f"month x {prices.gpu_hour_usd:,.2f} USD = {self.build_usd:,.2f} USD"
        )
        yield (
            f"upkeep: {prices.upkeep_hours_per_month:g} h x {prices.engineer_hour_usd:,.2f} USD = "
            f"{self.upkeep_usd:,.2f} USD"
        )
        yield (
            f"net: {self.saved_usd:,.2f} - {self.build_usd:,.2f} - {self.upkeep_usd:,.2f} = "
            f"{self.net_usd:,.2f} USD per month"
        )
        yield f"pays {self._break_even_text()}"

    def _break_even_text(self) -> str:
        even = self.break_even()
        return "at no load" if even is None else f"from {even:,.0f} requests a day"

    def reason(self) -> str:
        """Return the reason for the outcome, in one sentence."""
        saved, costs = self.saved_usd, self.build_usd + self.upkeep_usd
        device_time = f"saves {saved:,.2f} USD" if saved >= 0 else f"takes {-saved:,.2f} USD more"
        return (
            f"The declared load takes {_devices(self.reference_devices)} with vLLM and "
            f"{_devices(self.engine_devices)} with the engine, which {device_time} of device time a month "
            f"and costs {costs:,.2f} USD in builds and upkeep: {self.net_usd:,.2f} USD net; it pays "
            f"{self._break_even_text()}."
        )


def _devices(count: int) -> str:
    return f"{count:,} device" if count == 1 else f"{count:,} devices"
