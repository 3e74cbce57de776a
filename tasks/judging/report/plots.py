"""Plots as inline SVG with the colours of the page, so that one drawing serves light and dark mode.

matplotlib draws with placeholder colours, which are then replaced by the page's CSS variables. Text stays
text. No files are written.
"""

import math
import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from tasks.judging.gates import Figure, Map
from tasks.judging.results import Interval, RegretSample, SpeedPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID = "#010101", "#020202", "#030303"
ENGINE, REFERENCE, LIMIT = "#040404", "#050505", "#060606"
GOOD, BAD = "#070707", "#080808"
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    ENGINE: "var(--engine)",
    REFERENCE: "var(--reference)",
    LIMIT: "var(--limit)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
}
# On a phone of 390 px a plot is about as wide as drawn, so its text stays legible; elsewhere it is enlarged.
WIDTH_IN, HEIGHT_IN = 4.6, 2.7
MOST_BARS = 48
# Beyond, an arrow says that there is more.
MOST_USED = 1.6
# Longer numbers do not fit into a field of a map.
LONG_NUMBER = 1e7
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}


def limits_plot(figures: Sequence[Figure]) -> str:
    """Plot how much of its limit every figure uses, all on one scale; what cannot be said is left out."""
    used = [(figure.label, figure.use) for figure in figures if figure.use is not None][::-1]

    def draw(axes: "Axes") -> None:
        axes.axvline(1.0, color=LIMIT, linewidth=1.6)
        for row, (_, use) in enumerate(used):
            ends = [min(end, MOST_USED) for end in (use.lower, use.upper)]
            axes.plot(ends, [row, row], color=ENGINE, linewidth=2.2, solid_capstyle="butt")
            axes.plot(min(use.estimate, MOST_USED), row, "o", color=ENGINE, markersize=5)
            if use.upper > MOST_USED:
                axes.plot(MOST_USED, row, ">", color=ENGINE, markersize=6)
        axes.set_yticks(range(len(used)), [label for label, _ in used])
        axes.set_ylim(-0.6, len(used) - 0.4)
        axes.set_xlim(-0.03, MOST_USED * 1.02)
        axes.set_xlabel("share of the limit that is used")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")

    return _svg(draw, f"Share of the limit that is used, for {len(used)} figures")


def regret_by_token(samples: Sequence[RegretSample], *, margin: float) -> str:
    """Plot the mean regret by place in the answer: it shows whether errors come early or late."""
    longest = max(len(sample.engine_tokens) for sample in samples)
    return _regret_plot(samples, "token of the answer", 1, longest, margin, lambda _sample: 1)


def regret_by_context(samples: Sequence[RegretSample], *, margin: float) -> str:
    """Plot the mean regret by the number of tokens before: it shows whether errors grow with the context."""
    shortest = min(sample.context_tokens for sample in samples)
    longest = max(sample.context_tokens + len(sample.engine_tokens) for sample in samples) - 1
    return _regret_plot(
        samples, "tokens of context", shortest, longest, margin, lambda sample: sample.context_tokens
    )


def _regret_plot(
    samples: Sequence[RegretSample],
    by: str,
    least: int,
    most: int,
    margin: float,
    first_place: Callable[[RegretSample], int],
) -> str:
    """Plot the mean regret of all tokens at like places, in at most `MOST_BARS` bars."""
    width = max(1.0, (most - least + 1) / MOST_BARS)
    bars = math.ceil((most - least + 1) / width)
    sums, numbers = [0.0] * bars, [0] * bars
    for sample in samples:
        first = first_place(sample) - least
        for index in range(len(sample.engine_tokens)):
            numbers[min(bars - 1, int((first + index) / width))] += 1
        for token in sample.departures:
            sums[min(bars - 1, int((first + token.index) / width))] += token.regret_nats
    means = [total / number if number else 0.0 for total, number in zip(sums, numbers, strict=True)]
    middles = [least + (bar + 0.5) * width - 0.5 for bar in range(bars)]

    def draw(axes: "Axes") -> None:
        axes.bar(middles, means, color=ENGINE, width=0.8 * width)
        _label_regret(axes, by, margin)

    return _svg(draw, f"Mean regret by {by}, {least} to {most}")


def _label_regret(axes: "Axes", by: str, margin: float) -> None:
    axes.axhline(margin, color=LIMIT, linewidth=1.6, label=f"margin of the mean {margin:g}")
    axes.set_xlabel(by)
    axes.set_ylabel("mean regret, nats")
    axes.xaxis.set_major_locator(_whole_numbers())
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.22), borderaxespad=0, handlelength=1.6)


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
        axes.xaxis.set_major_locator(_whole_numbers())
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.22), ncols=3, borderaxespad=0, handlelength=1.6)

    return _svg(draw, f"Speed ratio of {len(ratios)} pairs of rounds; mean {interval.text()}")


def trade_off_plot(points: Sequence[SpeedPoint], *, operating_point: int, limit_ms: float) -> str:
    """Plot the time between tokens against the throughput of both sides, by requests in flight."""

    def draw(axes: "Axes") -> None:
        highest = 0.0
        for name, color in (("reference", REFERENCE), ("engine", ENGINE)):
            sides = [getattr(point, name) for point in points]
            rates = [side.throughput_per_device for side in sides]
            waits = [side.itl_ms.p99 for side in sides]
            highest = max(highest, *waits)
            reach = [[r.estimate - r.lower for r in rates], [r.upper - r.estimate for r in rates]]
            at = [rate.estimate for rate in rates]
            axes.errorbar(at, waits, xerr=reach, color=color, linewidth=1.6, capsize=2, label=sides[0].side)
            for side, rate, wait in zip(sides, at, waits, strict=True):
                decides = side.concurrency == operating_point
                axes.plot(rate, wait, "o", color=color, markersize=7 if decides else 4)
                axes.annotate(
                    f"{side.concurrency}", (rate, wait), xytext=(4, 5), textcoords="offset points", color=INK
                )
        if limit_ms <= 4 * highest:
            axes.axhline(limit_ms, color=LIMIT, linewidth=1.6, label=f"limit {limit_ms:g}")
        axes.set_xlabel("output tokens/s per device")
        axes.set_ylabel("time between tokens, p99, ms")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.15 * max(axes.get_ylim()[1], highest))
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.22), ncols=3, borderaxespad=0, handlelength=1.2)

    return _svg(draw, "Time between tokens against throughput of both sides, by requests in flight")


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
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.22), ncols=2, borderaxespad=0, handlelength=1.6)

    return _svg(draw, "Distribution of end-to-end latency of both sides at the operating point")


def map_plot(shown: Map) -> str:
    """Draw a map as fields with their values; signs say what colours say, and a frame is the spec's own."""

    def draw(axes: "Axes") -> None:
        for row, values in enumerate(shown.values):
            for column, value in enumerate(values):
                _field(axes, (column, row), value, framed=(row, column) == shown.declared)
        axes.set_xticks(range(len(shown.columns)), shown.columns)
        axes.set_yticks(range(len(shown.rows)), shown.rows)
        axes.set_xlim(-0.5, len(shown.columns) - 0.5)
        axes.set_ylim(-0.5, len(shown.rows) - 0.5)
        axes.set_xlabel(shown.across)
        axes.set_ylabel(shown.down)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)

    declared = shown.values[shown.declared[0]][shown.declared[1]]
    words = f"{shown.values_are}, by {shown.down} and {shown.across}; at the spec's own {declared:,.0f}"
    return _svg(draw, words)


def _field(axes: "Axes", at: tuple[int, int], value: float, *, framed: bool) -> None:
    """Draw one field of a map, centred at (column, row)."""
    from matplotlib.patches import Rectangle

    (x, y), (width, height) = at, (0.94, 0.86)
    corner = (x - width / 2, y - height / 2)
    color = GOOD if value > 0 else BAD
    axes.add_patch(Rectangle(corner, width, height, facecolor=color, alpha=0.16, linewidth=0))
    if framed:
        frame = Rectangle(corner, width, height, fill=False, edgecolor=INK, linewidth=1.8)
        axes.add_patch(frame)
        axes.text(x, y - 0.24, "the spec's", color=MUTED, ha="center", va="center", fontsize=7.5)
    axes.text(x, y + (0.1 if framed else 0), _signed(value), color=INK, ha="center", va="center")


def _signed(value: float) -> str:
    if abs(value) >= LONG_NUMBER:
        return f"{value / 1e6:+,.1f} million"
    return f"{value:+,.0f}" if round(value) else "0"


def _svg(draw: Callable[["Axes"], None], label: str) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = STYLE | {"svg.hashsalt": label}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained", facecolor="none")
        axes = figure.subplots()
        axes.set_facecolor("none")
        draw(axes)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _themed(buffer.getvalue(), label)


def _themed(document: str, label: str) -> str:
    """Keep only the `svg` element, labelled for screen readers, in the colours of the page."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, variable)
    svg = re.sub(r"font:\s*([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    element = f'<svg viewBox="{_view_box(svg)}" role="img" aria-label="{label}">'
    return re.sub(r"<svg [^>]*>", element, svg, count=1)


def _view_box(svg: str) -> str:
    found = re.search(r'viewBox="([^"]*)"', svg)
    return found.group(1) if found else ""


def _whole_numbers() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)
