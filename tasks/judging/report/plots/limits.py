"""How much of its limit every figure uses, all on one scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.judging.gates import Figure, Use
from tasks.judging.report.plots.drawing import ENGINE, INK, LIMIT, SMALL, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Beyond, an arrow says that there is more.
MOST_USED = 1.6
ROW_IN, AXES_IN = 0.23, 0.6


def limits_plot(figures: Sequence[Figure]) -> str:
    """Plot how much of its limit every figure uses, all on one scale; what cannot be said is left out."""
    used = [(figure.label, figure.use) for figure in figures if figure.use is not None][::-1]

    def draw(axes: "Axes") -> None:
        axes.axvline(1.0, color=LIMIT, linewidth=1.6)
        for row, (_, use) in enumerate(used):
            _draw_use(axes, row, use)
        axes.set_yticks(range(len(used)), [label for label, _ in used])
        axes.set_ylim(-0.6, len(used) - 0.4)
        axes.set_xlim(-0.03, MOST_USED * 1.02)
        axes.set_xlabel("share of the limit that is used")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.annotate(
            "limit",
            (1.0, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            color=LIMIT,
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL,
        )

    label = f"Share of the limit that is used, for {len(used)} figures"
    return svg(draw, label, height_in=AXES_IN + ROW_IN * len(used))


def _draw_use(axes: "Axes", row: int, use: Use) -> None:
    """Draw the use of one limit; what is beyond the axis is an arrow with the estimate next to it."""
    if use.estimate <= MOST_USED:
        axes.plot(use.estimate, row, "o", color=ENGINE, markersize=5)
    else:
        axes.annotate(
            f"{use.estimate:.3g}",
            (MOST_USED, row),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=INK,
            fontsize=SMALL,
        )
    if use.lower < MOST_USED and use.estimate <= MOST_USED:
        ends = [use.lower, min(use.upper, MOST_USED)]
        axes.plot(ends, [row, row], color=ENGINE, linewidth=2.2, solid_capstyle="butt")
    if use.upper > MOST_USED:
        axes.plot(MOST_USED, row, ">", color=ENGINE, markersize=6, clip_on=False)
