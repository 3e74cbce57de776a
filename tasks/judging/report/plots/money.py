"""What a month is worth at other loads and prices."""

from typing import TYPE_CHECKING

from tasks.judging.gates import Map
from tasks.judging.report.plots.drawing import BAD, GOOD, INK, MUTED, SMALL, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Longer numbers do not fit into a field of a map.
LONG_NUMBER = 1e7


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
    return svg(draw, words)


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
        axes.text(x, y - 0.24, "the spec's", color=MUTED, ha="center", va="center", fontsize=SMALL)
    axes.text(x, y + (0.1 if framed else 0), _signed(value), color=INK, ha="center", va="center")


def _signed(value: float) -> str:
    if abs(value) >= LONG_NUMBER:
        return f"{value / 1e6:+,.1f} million"
    return f"{value:+,.0f}" if round(value) else "0"
