"""What a gate shows: rows of a table of figures, and tiles of the report."""

from dataclasses import dataclass

from tasks.judging.results import Interval


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its bounds and its limit, as text.

    Attributes:
        label: what it is, such as `accuracy: regret`.
        unit: such as `ms`.
        measured: the estimate.
        lower: its lower bound, if there is one.
        upper: its upper bound, if there is one.
        limit: its limit, if it has one.
        reference: the same figure of vLLM.
        decisive: whether the outcome of the gate depends on it.
    """

    label: str
    unit: str
    measured: str
    lower: str = ""
    upper: str = ""
    limit: str = ""
    reference: str = ""
    decisive: bool = True


def interval_figure(
    label: str,
    unit: str,
    interval: Interval,
    pattern: str,
    *,
    limit: str = "",
    reference: str = "",
    decisive: bool = True,
) -> Figure:
    """Return the figure of an estimate with its two bounds, each formatted by `pattern`."""
    measured, lower, upper = (pattern.format(x) for x in (interval.estimate, interval.lower, interval.upper))
    return Figure(label, unit, measured, lower, upper, limit, reference, decisive)


@dataclass(frozen=True, slots=True)
class Tile:
    """One large number of the report.

    Attributes:
        label: what it is.
        value: the number, or a word.
        unit: its unit, in small print after it.
        note: the line below it.
        leads: whether it comes before tiles that do not lead; estimates with bounds do.
    """

    label: str
    value: str
    unit: str = ""
    note: str = ""
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that a gate shows.

    Attributes:
        figures: rows of the table of figures.
        tiles: the large numbers of the report.
        lines: how the numbers were calculated, one step per line; empty if that is not shown.
    """

    figures: tuple[Figure, ...]
    tiles: tuple[Tile, ...]
    lines: tuple[str, ...] = ()
