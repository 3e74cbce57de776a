"""Both sides under load: latency against throughput in closed loop, and what users wait for in open loop."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from engine_specs.spec import Slo
from tasks.judging.report.plots.drawing import ENGINE, INK, LIMIT, REFERENCE, SMALL, svg, time_axis
from tasks.judging.results import BoundedQuantiles, LoadSummary, OpenLoopResult, OpenLoopSide, SpeedPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTILES = ("p50", "p90", "p99")
CURVES_IN, QUANTILES_IN = 3.9, 3.3
# The engine's marks are drawn a little above the reference's.
APART = 0.18
# More columns of longer names are wider than a plot.
LONG_NAME = 14


class _Curve(NamedTuple):
    """One side: where it is in closed loop, by requests in flight, and in open loop."""

    color: str
    summaries: Sequence[LoadSummary]
    open_loop: OpenLoopSide
    labels_at: tuple[int, int]

    @property
    def side(self) -> str:
        return self.summaries[0].side


def load_curve(
    points: Sequence[SpeedPoint], open_loop: OpenLoopResult, *, operating_point: int, slo: Slo
) -> str:
    """Plot the 99th percentiles of both sides against their throughput, with the objective.

    The upper panel has the time to the first token, the lower one the time between tokens.
    """
    curves = [
        _Curve(REFERENCE, [one.reference for one in points], open_loop.reference, (-4, 5)),
        _Curve(ENGINE, [one.engine for one in points], open_loop.engine, (4, -11)),
    ]

    def draw(first: "Axes", gaps: "Axes") -> None:
        for axes, waits, limit_ms, name in _panels(first, gaps, slo):
            seen = [wait for curve in curves for wait in _draw_curve(axes, curve, waits, operating_point)]
            _draw_objective(axes, limit_ms, upright=False)
            axes.plot([], [], "o", color=INK, fillstyle="none", markersize=9, label="operating point")
            if any(curve.open_loop.summary for curve in curves):
                axes.plot([], [], "D", color=INK, fillstyle="none", markersize=5, label="open loop")
            time_axis(axes, "y", seen, limit_ms)
            axes.set_ylabel(f"{name} p99, ms")
        first.tick_params(labelbottom=False)
        gaps.set_xlabel("output tokens/s per device")
        fastest = max(first.get_xlim()[1], gaps.get_xlim()[1])
        for axes in (first, gaps):
            axes.set_xlim(0, 1.06 * fastest)

    label = "Time to the first token and time between tokens against throughput of both sides"
    return svg(draw, label, height_in=CURVES_IN, panels=2, legend_columns=_columns(curves))


def _draw_curve(axes: "Axes", curve: _Curve, waits: str, operating_point: int) -> Iterator[float]:
    """Draw one side into one panel; yield all waits that it shows."""
    rates = [side.throughput_per_device for side in curve.summaries]
    at, p99 = [rate.estimate for rate in rates], [getattr(side, waits).p99 for side in curve.summaries]
    reach = [[r.estimate - r.lower for r in rates], [r.upper - r.estimate for r in rates]]
    axes.plot(at, p99, color=curve.color, linewidth=1.6, label=curve.side)
    axes.errorbar(at, p99, xerr=reach, fmt="none", ecolor=curve.color, capsize=2)
    for side, rate, wait in zip(curve.summaries, at, p99, strict=True):
        axes.plot(rate, wait, "o", color=curve.color, markersize=4)
        if side.concurrency == operating_point:
            axes.plot(rate, wait, "o", color=curve.color, fillstyle="none", markersize=9)
        axes.annotate(
            f"{side.concurrency}",
            (rate, wait),
            xytext=curve.labels_at,
            textcoords="offset points",
            ha="right" if curve.labels_at[0] < 0 else "left",
            color=INK,
            fontsize=SMALL,
        )
    yield from p99
    if summary := curve.open_loop.summary:
        found: BoundedQuantiles = getattr(summary, waits)
        axes.plot(summary.goodput_per_device, found.p99, "D", color=curve.color, markersize=5)
        yield found.p99


def open_loop_plot(open_loop: OpenLoopResult, *, slo: Slo) -> str:
    """Plot what users wait for in open loop: three quantiles with their bounds, against the objective."""
    asked = (("reference", REFERENCE, -APART), ("engine", ENGINE, APART))
    sides = [(getattr(open_loop, role), color, apart) for role, color, apart in asked]
    shown = [one for one in sides if one[0].summary is not None]

    def draw(first: "Axes", gaps: "Axes") -> None:
        for axes, waits, limit_ms, name in _panels(first, gaps, slo):
            found = [(side, getattr(side.summary, waits), *rest) for side, *rest in shown]
            times = [time for _, one, *_ in found for time in _times(one)]
            time_axis(axes, "x", times, limit_ms)
            _draw_objective(axes, limit_ms, upright=True)
            for side, one, color, apart in found:
                _draw_quantiles(axes, one, color, apart, side.side)
            axes.set_yticks(range(len(QUANTILES)), QUANTILES)
            axes.set_ylim(-0.6, len(QUANTILES) - 0.4)
            axes.set_xlabel(f"{name}, ms")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)

    label = "Quantiles of the time to the first token and between tokens in open loop, with bounds"
    return svg(draw, label, height_in=QUANTILES_IN, panels=2, legend_columns=3)


def _draw_quantiles(axes: "Axes", found: BoundedQuantiles, color: str, apart: float, side: str) -> None:
    """Draw the quantiles of one side; an arrow stands for a bound that so few requests do not give."""
    edge = axes.get_xlim()[1]
    for row, (name, bounds) in enumerate(zip(QUANTILES, found.bounds, strict=True)):
        upper = edge if bounds.upper is None else bounds.upper
        axes.plot([bounds.lower, upper], [row + apart] * 2, color=color, linewidth=2.2, solid_capstyle="butt")
        axes.plot(
            getattr(found, name), row + apart, "o", color=color, markersize=5, label=None if row else side
        )
        if bounds.upper is None:
            axes.plot(edge, row + apart, ">", color=color, markersize=6, clip_on=False)


def _times(found: BoundedQuantiles) -> list[float]:
    """Return every time that a plot of these quantiles has to show."""
    bounds = [end for one in found.bounds for end in (one.lower, one.upper) if end]
    return [found.p50, found.p90, found.p99, *bounds]


def _panels(first: "Axes", gaps: "Axes", slo: Slo) -> tuple[tuple["Axes", str, float, str], ...]:
    """Return both panels, each with what it shows, its limit and its name."""
    return (first, "ttft_ms", slo.ttft_p99_ms, "first token"), (gaps, "itl_ms", slo.itl_p99_ms, "gap")


def _draw_objective(axes: "Axes", limit_ms: float, *, upright: bool) -> None:
    """Draw the limit, and shade what is beyond it."""
    line, beyond = (axes.axvline, axes.axvspan) if upright else (axes.axhline, axes.axhspan)
    line(limit_ms, color=LIMIT, linewidth=1.6, label="objective")
    beyond(limit_ms, 1e3 * limit_ms, color=LIMIT, alpha=0.08, linewidth=0)


def _columns(curves: Sequence[_Curve]) -> int:
    return 2 if any(len(curve.side) > LONG_NAME for curve in curves) else 3
