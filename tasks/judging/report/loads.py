"""What the report says about every load: ratios in closed loop, and waits in open loop. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine_specs.spec import Slo
from tasks.judging.judgement import JudgedResult
from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import (
    BoundedQuantiles,
    Bounds,
    NotMeasured,
    OpenLoopResult,
    OpenLoopSide,
    SpeedPoint,
)
from tasks.judging.statistics import RegionPoint, point_ratio, region


def load_views(result: JudgedResult) -> list[dict[str, Any]]:
    """Return the ratio of both sides at every load that was timed, with its interval, as plain JSON."""
    speed, protocol = result.measured.speed, result.protocol
    if isinstance(speed, NotMeasured):
        return []
    points = [*speed.points, *(one.point for one in speed.sweep)]
    loads = region(speed, protocol)
    return [_load_view(load, point, protocol.speed) for load, point in zip(loads, points, strict=True)]


def _load_view(load: RegionPoint, point: SpeedPoint, plan: SpeedPlan) -> dict[str, Any]:
    ratio = point_ratio(point, plan)
    return {
        "input_tokens": load.input_tokens,
        "output_tokens": load.output_tokens,
        "concurrency": load.concurrency,
        "outcome": load.outcome,
        "metric": ratio.metric,
        "pairs": len(ratio.log_ratios),
        "log_ratios": ratio.log_ratios,
    } | ratio.interval.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class WaitRow:
    """What users of one side waited for in open loop.

    Attributes:
        side: name of the side.
        wait: what they waited for.
        requests: how many requests arrived.
        per_s: how many arrived per second.
        quantiles: p50, p90 and p99 in milliseconds, each with its bounds.
        limit: the objective, which p99 must not exceed.
    """

    side: str
    wait: str
    requests: int
    per_s: str
    quantiles: tuple[tuple[str, str], ...]
    limit: str


def wait_rows(open_loop: OpenLoopResult, slo: Slo) -> list[WaitRow]:
    """Return two rows per side that was asked in open loop: first tokens, and gaps."""
    return [row for side in (open_loop.engine, open_loop.reference) for row in _wait_rows(side, slo)]


def _wait_rows(side: OpenLoopSide, slo: Slo) -> Iterator[WaitRow]:
    if side.summary is None:
        return
    for wait, found, limit_ms in (
        ("first token", side.summary.ttft_ms, slo.ttft_p99_ms),
        ("gap between tokens", side.summary.itl_ms, slo.itl_p99_ms),
    ):
        yield WaitRow(
            side=side.side,
            wait=wait,
            requests=side.summary.requests,
            per_s=f"{side.arrivals_per_s:.3g}",
            quantiles=tuple(_in_words(found)),
            limit=f"{limit_ms:g}",
        )


def _in_words(found: BoundedQuantiles) -> Iterator[tuple[str, str]]:
    for value, bounds in zip((found.p50, found.p90, found.p99), found.bounds, strict=True):
        yield f"{value:,.1f}", _bounds_in_words(bounds)


def _bounds_in_words(bounds: Bounds) -> str:
    upper = "unknown" if bounds.upper is None else f"{bounds.upper:,.1f}"
    return f"[{bounds.lower:,.1f}, {upper}]"
