"""Figures of one variant, read from its report and from the trees that it was made of. Pure.

A report of a baseline, or one without timed rounds, has fewer of them: they are left out, never guessed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from engine_specs.tables import Target
from flows.gpu_check.result import Limits, Measured, MemoryFigures, PointFigures, StartFigures
from tasks.judging import Conditions, JudgedResult, NotMeasured, SpeedPlan, SpeedPoint, SpeedResult
from tasks.judging.statistics import point_ratio

MS_PER_S = 1000.0


def measured_of(report: Mapping[str, Any]) -> Measured | None:
    """Return the figures of `report.json`; None if no engine was measured."""
    if "result" not in report:
        return None
    result = JudgedResult.model_validate(report["result"])
    speed, conditions = result.measured.speed, result.measured.conditions
    return Measured(
        reference=None if isinstance(speed, NotMeasured) else speed.reference,
        placement=conditions.placement.text(),
        points=points_of(speed, result.protocol.speed),
        starts=starts_of(conditions),
        memory=memory_of(conditions),
        idle=idle_of(conditions),
        serve=result.protocol.engine.serve.argv,
    )


def points_of(speed: SpeedResult | NotMeasured, plan: SpeedPlan) -> tuple[PointFigures, ...]:
    """Return the figures of both sides at every number of requests in flight; none if no round was timed."""
    return () if isinstance(speed, NotMeasured) else tuple(_point(one, plan) for one in speed.points)


def _point(point: SpeedPoint, plan: SpeedPlan) -> PointFigures:
    ratio = point_ratio(point, plan)
    return PointFigures(
        concurrency=point.concurrency,
        metric=ratio.metric,
        ratio=ratio.interval,
        pairs=len(ratio.log_ratios),
        engine_itl_ms=point.engine.itl_ms.mean,
        reference_itl_ms=point.reference.itl_ms.mean,
        engine_ttft_ms=point.engine.ttft_ms.p50,
        reference_ttft_ms=point.reference.ttft_ms.p50,
    )


def starts_of(conditions: Conditions) -> tuple[StartFigures, ...]:
    """Return the starts of the sides, in order."""
    return tuple(StartFigures(side=one.side, ready_s=one.ready_s) for one in conditions.starts)


def memory_of(conditions: Conditions) -> tuple[MemoryFigures, ...]:
    """Return the GPU memory of each side, next to its estimate; none on a CPU."""
    return tuple(
        MemoryFigures(side=one.side, estimated_bytes=one.estimated_bytes, peak_bytes=one.peak_bytes)
        for one in conditions.memory
    )


def idle_of(conditions: Conditions) -> tuple[str, ...]:
    """Return what idle sides cost the others, in sentences."""
    return tuple(one.text() for one in conditions.idle)


def limits_of(target: Target, engine_bytes: int, reference_bytes: int, devices: int) -> Limits | None:
    """Return the least time of a decode step at one row: every weight is read once, and nothing else.

    The KV cache of a few hundred tokens is below a hundredth of the weights, and is left out.
    """
    bandwidth = target.memory_bandwidth_bytes_per_s
    if bandwidth is None:
        return None
    per_ms = bandwidth / MS_PER_S * devices
    return Limits(
        bandwidth_bytes_per_s=bandwidth,
        engine_ms=engine_bytes / per_ms,
        reference_ms=reference_bytes / per_ms,
    )


def build_starts(metrics: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return the seconds of the starts that a build made to prove its caches, by their kind."""
    starts = metrics.get("warmth", {}).get("starts", {})
    return {name: tuple(start["ready_s"] for start in group) for name, group in starts.items() if group}


def weight_bytes(files: Sequence[tuple[str, int]]) -> int:
    """Return the bytes of a tree's weights, given its files with their sizes."""
    return sum(size for path, size in files if path.endswith(".safetensors"))
