"""Figures of one variant, read from its report and from the trees that it was made of. Pure.

A report of a baseline, or one without timed rounds, has fewer of them: they are left out, never guessed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from engine_specs.tables import Target
from flows.gpu_check.result import Limits, Measured, MemoryFigures, PointFigures, StartFigures
from tasks.judging import Interval, SpeedPlan, SpeedPoint, SpeedResult
from tasks.judging.statistics import point_ratio

MS_PER_S = 1000.0


def measured_of(report: Mapping[str, Any]) -> Measured | None:
    """Return the figures of `report.json`; None if no engine was measured."""
    result = report.get("result")
    if result is None:
        return None
    measured, protocol = result["measured"], result["protocol"]
    conditions = measured.get("conditions") or {}
    timed = measured["speed"].get("outcome") != "not-measured"
    speed = SpeedResult.model_validate(measured["speed"]) if timed else None
    plan = SpeedPlan.model_validate(protocol["speed"])
    return Measured(
        reference=speed.reference if speed else None,
        placement=placement_text(conditions),
        points=tuple(point_figures(point, plan) for point in speed.points) if speed else (),
        starts=starts_of(conditions),
        memory=tuple(
            MemoryFigures.model_validate(_only(one, MemoryFigures)) for one in conditions.get("memory", ())
        ),
        idle=idle_of(conditions),
        serve=tuple(protocol["engine"]["serve"]["argv"]),
    )


def point_figures(point: SpeedPoint, plan: SpeedPlan) -> PointFigures:
    """Return the figures of both sides at one number of requests in flight."""
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


def placement_text(conditions: Mapping[str, Any]) -> str | None:
    """Return the placement of a measurement with its reason; None if the report does not have it."""
    choice = conditions.get("placement")
    if not choice:
        return None
    share = choice.get("memory_share")
    return f"{choice['name']}{f', each with {share:g} of the memory' if share else ''}: {choice['reason']}"


def starts_of(conditions: Mapping[str, Any]) -> tuple[StartFigures, ...]:
    """Return the starts of the sides, in order."""
    return tuple(
        StartFigures.model_validate(_only(one, StartFigures)) for one in conditions.get("starts", ())
    )


def idle_of(conditions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what idle sides cost the others, in sentences."""
    return tuple(
        f"next to idle sides, {one['side']} is {Interval.model_validate(one['ratio']).text()} times as fast "
        f"as alone ({one['pairs']} pairs)"
        for one in conditions.get("idle", ())
    )


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


def _only(record: Mapping[str, Any], model: type[Any]) -> dict[str, Any]:
    return {name: record[name] for name in model.model_fields if name in record}
