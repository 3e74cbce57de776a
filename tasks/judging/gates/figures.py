"""What a gate shows: rows of a table of figures, and tiles of the report."""

import math
from dataclasses import dataclass

from tasks.judging.results import Interval


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is used: 1 is all of it, and what decides has to stay below.

    Attributes:
        estimate: by the estimate.
        lower: the least that the bounds allow.
        upper: the most that they allow.
    """

    estimate: float
    lower: float
    upper: float


def use_of_most(interval: Interval, most: float) -> Use:
    """Return the use of a limit that must not be exceeded."""
    return Use(interval.estimate / most, interval.lower / most, interval.upper / most)


def use_of_least(interval: Interval, least: float) -> Use:
    """Return the use of a limit that has to be reached; bounds have to be greater than zero."""
    return Use(least / interval.estimate, least / interval.upper, least / interval.lower)


def use_of_band(interval: Interval, least: float, most: float) -> Use:
    """Return the use of two limits around 1; the nearer one counts."""

    def used(value: float) -> float:
        room = most - 1 if value >= 1 else 1 - least
        return abs(value - 1) / room if room else math.inf

    ends = (used(interval.lower), used(interval.upper))
    lower = 0.0 if interval.lower <= 1 <= interval.upper else min(ends)
    return Use(used(interval.estimate), lower, max(ends))


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
        use: how much of its limit is used, if that can be said.
    """

    label: str
    unit: str
    measured: str
    lower: str = ""
    upper: str = ""
    limit: str = ""
    reference: str = ""
    decisive: bool = True
    use: Use | None = None


def interval_figure(
    label: str,
    unit: str,
    interval: Interval,
    pattern: str,
    *,
    limit: str = "",
    reference: str = "",
    decisive: bool = True,
    use: Use | None = None,
) -> Figure:
    """Return the figure of an estimate with its two bounds, each formatted by `pattern`."""
    measured, lower, upper = (pattern.format(x) for x in (interval.estimate, interval.lower, interval.upper))
    return Figure(label, unit, measured, lower, upper, limit, reference, decisive, use)


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
class Map:
    """One figure at other inputs than those that the spec declares, as rows and columns.

    Attributes:
        values_are: what the values are, with their unit.
        down: what the rows differ in.
        across: what the columns differ in.
        rows: that of every row, the smallest first.
        columns: that of every column, the smallest first.
        values: one line of values per row; more than zero is good.
        declared: row and column of what the spec declares.
    """

    values_are: str
    down: str
    across: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    declared: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that a gate shows.

    Attributes:
        figures: rows of the table of figures.
        tiles: the large numbers of the report.
        lines: how the numbers were calculated, one step per line; empty if that is not shown.
        map: the figure that decides, at other inputs; None if that is not shown.
        clause: what was found of the engine, as a short clause for the first lines of a report, such as "it
            meets the objective"; empty if the reason begins with as short a sentence.
    """

    figures: tuple[Figure, ...]
    tiles: tuple[Tile, ...]
    lines: tuple[str, ...] = ()
    map: Map | None = None
    clause: str = ""
