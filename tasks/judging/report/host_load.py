"""What others used of the host while rounds were timed, for the report. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from tasks.judging.conditions import host_in_words
from tasks.judging.results import NotMeasured, SpeedPoint, SpeedResult


@dataclass(frozen=True, slots=True)
class LoadRow:
    """The rounds of one side at one number of requests in flight.

    Attributes:
        concurrency: requests in flight.
        side: name of the side.
        foreign: share of the cores that others kept busy, by round, in percent; a dash if nobody can say.
        mean: the mean of these shares; a dash if nobody can say.
        steal: the largest share that other machines got, in percent; a dash if nobody can say.
        made_again: pairs at this number of requests that were made again.
    """

    concurrency: int
    side: str
    foreign: str
    mean: str
    steal: str
    made_again: int


def host_sentence(speed: SpeedResult | NotMeasured) -> str:
    """Say how quiet the host was while all rounds were timed."""
    if isinstance(speed, NotMeasured):
        return speed.reason if speed.cause == "host-busy" else "no round was timed"
    loads = [one.load for point in speed.points for one in point.rounds]
    # A pair of blocks has the rounds of all points, and is made again as a whole.
    elsewhere = [] if speed.blocks else [one for one in speed.points if one != speed.at_operating_point]
    made_again = speed.at_operating_point.made_again + sum(one.made_again for one in elsewhere)
    pairs = speed.cycles + sum(one.pairs for one in elsewhere)
    said = host_in_words(speed.quiet_host, loads, made_again=made_again, pairs=pairs)
    return " ".join(said) or "The host had to be quiet, and was."


def host_rows(speed: SpeedResult | NotMeasured) -> list[LoadRow]:
    """Return a row per side and number of requests in flight; none if no round was timed."""
    points = () if isinstance(speed, NotMeasured) else speed.points
    return [row for point in points for row in _rows(point)]


def _rows(point: SpeedPoint) -> Iterator[LoadRow]:
    for side in (point.engine.side, point.reference.side):
        loads = [one.load for one in point.rounds if one.side == side]
        known = [one for one in loads if one is not None]
        yield LoadRow(
            concurrency=point.concurrency,
            side=side,
            foreign=", ".join("-" if one is None else f"{100 * one.foreign:.1f}" for one in loads),
            mean=f"{100 * fmean(one.foreign for one in known):.1f}" if known else "-",
            steal=f"{100 * max(one.steal for one in known):.1f}" if known else "-",
            made_again=point.made_again,
        )
