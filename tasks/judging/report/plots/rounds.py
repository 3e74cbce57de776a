"""The timed rounds at the operating point: every pair, and every request."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.judging.report.plots.drawing import ENGINE, LIMIT, MUTED, REFERENCE, above, svg, whole_numbers
from tasks.judging.results import Interval, SpeedPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ratio_plot(log_ratios: Sequence[float], interval: Interval, *, bar: float) -> str:
    """Plot the ratio of every pair of rounds, in the order in which they were made, with interval and bar."""
    ratios = [math.exp(value) for value in log_ratios]
    pairs = range(1, len(ratios) + 1)

    def draw(axes: "Axes") -> None:
        axes.axhspan(interval.lower, interval.upper, color=ENGINE, alpha=0.16, linewidth=0)
        axes.axhline(interval.estimate, color=ENGINE, linewidth=1.6, label=f"mean {interval.estimate:.3f}")
        axes.axhline(bar, color=LIMIT, linewidth=1.6, label=f"bar {bar:g}")
        axes.axhline(1.0, color=MUTED, linewidth=1.0, linestyle=(0, (2, 3)), label="equal speed")
        axes.plot(pairs, ratios, "o", color=ENGINE, markersize=4.5)
        axes.set_xlabel("pair")
        axes.set_ylabel("engine / reference")
        axes.set_xlim(0.4, len(ratios) + 0.6)
        axes.xaxis.set_major_locator(whole_numbers())
        axes.grid(visible=False, axis="x")
        above(axes, 3)

    return svg(draw, f"Speed ratio of {len(ratios)} pairs of rounds; mean {interval.text()}")


def latency_plot(point: SpeedPoint) -> str:
    """Plot the share of requests that ended within a time, for both sides at the operating point."""

    def draw(axes: "Axes") -> None:
        for name, color in (("reference", REFERENCE), ("engine", ENGINE)):
            side = getattr(point, name).side
            times = sorted(r.e2e_ms for one in point.rounds if one.side == side for r in one.requests)
            shares = [(index + 1) / len(times) for index in range(len(times))]
            axes.step(times, shares, where="post", color=color, linewidth=1.8, label=side)
        axes.set_xlabel("end-to-end latency, ms")
        axes.set_ylabel("share of requests")
        axes.set_ylim(0, 1.02)
        above(axes, 2)

    return svg(draw, "Distribution of end-to-end latency of both sides at the operating point")
