"""The speed of both sides in one measurement, small enough to be read for every release of a spec. Pure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from artifacts.frozen import Frozen
from artifacts.settings import PlacementName, QuietHost
from artifacts.store import Measurement
from engine_specs.spec import Workload
from tasks.judging import Interval, JudgingProtocol, LoadResult, Measured, NotMeasured, SpeedPlan
from tasks.judging.results import LoadSummary, Metric, RoundResult
from tasks.judging.statistics import point_ratio

START_SPREAD: float = SpeedPlan.model_fields["start_spread"].default
"""Of a baseline, which starts its side once."""


class SideSpeed(Frozen):
    """One side at the operating point."""

    name: str = Field(description="Name of the side; of a reference, its configuration.")
    toolchain: str = Field(description="Name of the toolchain that served it.")
    version: str = Field(description="Tool of this toolchain, with its version.")
    rates: tuple[float, ...] = Field(
        min_length=2, description="Tokens per second and device in each block of rounds, in their order."
    )
    speed: Interval = Field(description="The mean of these, with bounds over blocks.")


class JudgedSpeed(Frozen):
    """What was compared, where and when, and how fast each side was."""

    measured_at: AwareDatetime = Field(description="When the measurement ended, with time zone.")
    source: Literal["comparison", "baseline"] = Field(
        description="comparison: both sides in alternating rounds; baseline: vLLM alone."
    )
    metric: Metric
    workload: Workload
    host: dict[str, JsonValue] = Field(description="Class of the host.")
    placement: PlacementName = Field(description="Where and when the sides ran.")
    quiet_host: QuietHost = Field(description="Whether the host had to be quiet.")
    start_spread: float = Field(
        ge=0,
        description="Standard deviation of what the starts of both sides add to the logarithm of their "
        "ratio; 0 if each was started often.",
    )
    reference: SideSpeed
    engine: SideSpeed | None = Field(default=None, description="None if no engine was timed.")
    ratio: Interval | None = Field(default=None, description="Engine / reference; None if none was timed.")
    log_ratios: tuple[float, ...] = Field(default=(), description="Logarithm of the ratio in each pair.")


def speed_of_baseline(
    measurement: Measurement, workload: Workload, metric: Metric, versions: Mapping[str, str]
) -> JudgedSpeed:
    """Return the speed of vLLM alone; `versions` are those of the tools, by name of their toolchain."""
    load = measurement.result_as(LoadResult)
    point = load.at_operating_point
    toolchain = load.side.serve.toolchain
    return JudgedSpeed(
        measured_at=measurement.created_at,
        source="baseline",
        metric=metric,
        workload=workload,
        host=_host(measurement),
        placement="together",
        quiet_host=load.quiet_host,
        start_spread=START_SPREAD,
        reference=_side(point.summary, point.rounds, metric, toolchain, versions),
    )


def speed_of_engine(
    measurement: Measurement, baseline: Measurement, protocol: JudgingProtocol, versions: Mapping[str, str]
) -> JudgedSpeed:
    """Return the speeds of a comparison; if no round was timed, that of vLLM alone in the baseline."""
    measured = measurement.result_as(Measured)
    speed = measured.speed
    if isinstance(speed, NotMeasured):
        return speed_of_baseline(baseline, protocol.workload, protocol.speed.gate.metric, versions)
    point, metric = speed.at_operating_point, protocol.speed.gate.metric
    ratio = point_ratio(point, protocol.speed)
    serving = {side.name: side.serve.toolchain for side in (protocol.engine, *protocol.references)}
    reference, engine = (
        _side(summary, point.rounds, metric, serving[summary.side], versions)
        for summary in (point.reference, point.engine)
    )
    return JudgedSpeed(
        measured_at=measurement.created_at,
        source="comparison",
        metric=metric,
        workload=protocol.workload,
        host=_host(measurement),
        placement=measured.conditions.placement.name,
        quiet_host=speed.quiet_host,
        start_spread=0.0 if speed.blocks else protocol.speed.start_spread,
        reference=reference,
        engine=engine,
        ratio=ratio.interval,
        log_ratios=tuple(ratio.log_ratios),
    )


def _side(
    summary: LoadSummary,
    rounds: Sequence[RoundResult],
    metric: Metric,
    toolchain: str,
    versions: Mapping[str, str],
) -> SideSpeed:
    own = [one for one in rounds if one.side == summary.side]
    blocks = [list(group) for _, group in groupby(own, key=lambda one: one.block)]
    known: dict[Metric, Interval] = {
        "goodput_per_device": summary.goodput_per_device,
        "throughput_per_device": summary.throughput_per_device,
    }
    return SideSpeed(
        name=summary.side,
        toolchain=toolchain,
        version=versions.get(toolchain, ""),
        rates=tuple(fmean(one.per_second(metric) for one in block) for block in blocks),
        speed=known[metric],
    )


def _host(measurement: Measurement) -> dict[str, JsonValue]:
    """Return the class of the host, which every measurement is keyed by."""
    host = measurement.document.get("host")
    return host if isinstance(host, dict) else {}
