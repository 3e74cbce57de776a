"""Inline SVG with the colours of the page, so that one drawing serves light and dark mode.

matplotlib draws with placeholder colours, which are then replaced by the page's CSS variables. Text stays
text. No files are written.
"""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

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
SMALL = 8.0
# Beyond this ratio of the longest to the shortest wait, a linear axis would hide the short ones.
WIDE_RANGE = 10.0
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


def svg(
    draw: Callable[..., None],
    label: str,
    *,
    height_in: float = HEIGHT_IN,
    panels: int = 1,
    legend_columns: int = 0,
) -> str:
    """Return a drawing as an `svg` element.

    Args:
        draw: draws into the axes of all panels, which it takes one by one, from the top.
        label: what it shows, for those who hear the page.
        height_in: height in inches.
        panels: how many there are, one below the other.
        legend_columns: columns of one legend above all panels, of what the first one draws; 0 for none.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = STYLE | {"svg.hashsalt": label}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="none")
        every = figure.subplots(panels, squeeze=False)[:, 0]
        for axes in every:
            axes.set_facecolor("none")
        draw(*every)
        if legend_columns:
            handles, labels = every[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=legend_columns, handlelength=1.4)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _themed(buffer.getvalue(), label)


def above(axes: "Axes", columns: int) -> None:
    """Put the legend of one panel above it."""
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.22), ncols=columns, borderaxespad=0, handlelength=1.6)


def time_axis(axes: "Axes", which: str, times_ms: Sequence[float], limit_ms: float) -> None:
    """Let an axis show all times and their limit: from zero or, if they differ much, by powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    low, high = min(times_ms), max(*times_ms, limit_ms)
    limits, axis = getattr(axes, f"set_{which}lim"), getattr(axes, f"{which}axis")
    if low <= 0 or high <= WIDE_RANGE * low:
        limits(0, 1.18 * high)
        return
    getattr(axes, f"set_{which}scale")("log")
    limits(low / 1.8, 1.8 * high)
    steps = (1.0,) if high > 200 * low else (1.0, 3.0)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


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


def whole_numbers() -> "MaxNLocator":
    """Return where the ticks of counted things are."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)
