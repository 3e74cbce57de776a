"""Where in answers and contexts the regret is."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks.judging.report.plots.drawing import ENGINE, LIMIT, above, svg, whole_numbers
from tasks.judging.results import RegretSample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 48


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

    return svg(draw, f"Mean regret by {by}, {least} to {most}")


def _label_regret(axes: "Axes", by: str, margin: float) -> None:
    axes.axhline(margin, color=LIMIT, linewidth=1.6, label=f"margin of the mean {margin:g}")
    axes.set_xlabel(by)
    axes.set_ylabel("mean regret, nats")
    axes.xaxis.set_major_locator(whole_numbers())
    axes.grid(visible=False, axis="x")
    above(axes, 1)
