"""Where compiling wins: every load that was measured, as a field with the ratio and its bounds."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from tasks.judging.report.plots.drawing import BAD, GOOD, GRID, INK, MUTED, SMALL, svg
from tasks.judging.statistics import RegionPoint, Wins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS: Mapping[Wins, str] = {"wins": GOOD, "loses": BAD, "not-shown": MUTED}
WORDS: Mapping[Wins, str] = {"wins": "wins", "loses": "loses", "not-shown": "not shown"}
# So many fields with their bounds fit next to each other; the others are drawn below.
MOST_COLUMNS = 4
ROW_IN, AXES_IN = 0.62, 0.62
FIELD, LINES = (0.95, 0.92), 0.27
TWO_DIGITS = 10

Load = tuple[int, int, int]
"""Tokens of a prompt and of an answer, and requests in flight."""


def region_maps(points: Sequence[RegionPoint], decisive: Load) -> tuple[str, ...]:
    """Draw all loads, lengths from below by requests in flight; a frame is around the one that decides.

    Several maps are drawn if there are many numbers of requests in flight; none if there is but one load.
    """
    if len(points) == 1:
        return ()
    columns = sorted({one.concurrency for one in points})
    parts = [columns[start : start + MOST_COLUMNS] for start in range(0, len(columns), MOST_COLUMNS)]
    return tuple(_map(points, part, decisive, len(parts[0])) for part in parts)


def _map(points: Sequence[RegionPoint], columns: Sequence[int], decisive: Load, room: int) -> str:
    """Draw one map, with room for so many columns: fields of all maps are of one size."""
    found = {(one.input_tokens, one.output_tokens, one.concurrency): one for one in points}
    rows = sorted({(one.input_tokens, one.output_tokens) for one in points})

    def draw(axes: "Axes") -> None:
        for (y, lengths), (x, concurrency) in product(enumerate(rows), enumerate(columns)):
            load = (*lengths, concurrency)
            _field(axes, (x, y), found.get(load), framed=load == decisive)
        axes.set_xticks(range(len(columns)), [str(one) for one in columns])
        axes.set_yticks(range(len(rows)), [f"{given:,} + {generated:,}" for given, generated in rows])
        axes.set_xlim(-0.5, room - 0.5)
        axes.set_ylim(-0.5, len(rows) - 0.5)
        axes.set_xlabel("requests in flight")
        # Next to a single row, one line of it would be longer than the drawing is high.
        axes.set_ylabel("tokens in + out" if len(rows) > 1 else "tokens\nin + out")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)

    said = "; ".join(_in_words(one) for one in points if one.concurrency in columns)
    label = f"Where compiling wins, by lengths and requests in flight: {said}"
    return svg(draw, label, height_in=AXES_IN + ROW_IN * len(rows))


def _field(axes: "Axes", at: tuple[int, int], point: RegionPoint | None, *, framed: bool) -> None:
    """Draw one load, centred at (column, row); it says in words what its colour says."""
    from matplotlib.patches import Rectangle

    (x, y), (width, height) = at, FIELD
    corner = (x - width / 2, y - height / 2)
    if point is None:
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=GRID, linewidth=0.8))
        axes.text(x, y, "not\nmeasured", color=MUTED, ha="center", va="center", fontsize=SMALL)
        return
    color = COLORS[point.outcome]
    axes.add_patch(Rectangle(corner, width, height, facecolor=color, alpha=0.16, linewidth=0))
    if framed:
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=INK, linewidth=1.8))
    for (text, style), place in zip(_lines(point), (LINES, 0.0, -LINES), strict=True):
        axes.text(x, y + place, text, ha="center", va="center", **style)


def _lines(point: RegionPoint) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the outcome, the ratio and its bounds, each with how it is written."""
    mark = " *" if point.missed else ""
    yield f"{WORDS[point.outcome]}{mark}", {"color": INK, "fontsize": SMALL}
    yield _number(point.ratio.estimate), {"color": INK, "fontsize": 10.0}
    bounds = f"[{_number(point.ratio.lower)}, {_number(point.ratio.upper)}]"
    yield bounds, {"color": MUTED, "fontsize": SMALL}


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < TWO_DIGITS else f"{ratio:.1f}"


def _in_words(point: RegionPoint) -> str:
    load = f"{point.input_tokens} + {point.output_tokens} tokens, {point.concurrency} in flight"
    return f"{load}: {WORDS[point.outcome]}, {point.ratio.text('{:.2f}')}"
