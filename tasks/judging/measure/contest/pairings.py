"""The engine against each reference, cycle by cycle: who is asked next, and when it is decided. Pure.

Invariants:
- Each comparison has its own looks, which share the whole permitted error among themselves and with no other
  comparison: the engine is called faster only if it wins all of them.
- A comparison ends for good with a look. Rounds that are made afterwards never enter it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from artifacts.progress import Say
from tasks.judging.endpoint import Side
from tasks.judging.measure.contest.stages import Spent, Stop, finish_point, next_stop
from tasks.judging.measure.summaries import MeasuredRound
from tasks.judging.measure.timed_answers import TimedRounds
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import BlockCost, SpeedPoint
from tasks.judging.statistics import is_not_faster, point_ratio


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of all sides leaves.

    Attributes:
        points: against the strongest reference, one per concurrency.
        others: against the other references, at the operating point.
        timed: rounds of the engine and of the strongest reference, to be read.
        blocks: what blocks took, if sides were measured in turn.
    """

    points: Sequence[SpeedPoint]
    others: Sequence[SpeedPoint]
    timed: TimedRounds
    blocks: tuple[BlockCost, ...] = ()

    def is_lost(self, plan: SpeedPlan) -> bool:
        """Whether the engine was shown not to be fast enough next to one of the references."""
        decided = [one for one in (self.points[0], *self.others) if one.ended != "undecided"]
        return any(is_not_faster(point_ratio(one, plan), one, plan) for one in decided)


@dataclass(slots=True)
class Pairing:
    """The engine and one reference.

    Attributes:
        reference: the reference.
        rounds: rounds at the operating point of the cycles that had both, in the order of the cycles.
        stop: how the last look ended; None before the first.
    """

    reference: Side
    rounds: list[MeasuredRound] = field(default_factory=list)
    stop: Stop | None = None

    @property
    def goes_on(self) -> bool:
        """Whether no look has ended it."""
        return self.stop is None or self.stop.ended == "undecided"

    @property
    def is_won(self) -> bool:
        """Whether the engine was shown to be above the bar."""
        return not self.goes_on and self.stop is not None and self.stop.above


class Contest:
    """All comparisons of one measurement.

    Args:
        references: references that take part, at least one.
        protocol: bar, budget, and the engine.
        attempt: how often this was measured, this time included.
        first_look: cycles before the first look.
    """

    def __init__(
        self, references: Sequence[Side], protocol: JudgingProtocol, attempt: int, first_look: int
    ) -> None:
        self._pairings = [Pairing(one) for one in references]
        self._protocol = protocol
        self._attempt = attempt
        self._first_look = first_look
        self.cycles = 0

    @property
    def going(self) -> list[Side]:
        """References that are asked in the next cycle; none once it is decided."""
        if any(not one.goes_on and not one.is_won for one in self._pairings):
            return []
        return [one.reference for one in self._pairings if one.goes_on]

    @property
    def sides(self) -> list[Side]:
        """All sides that are asked in the next cycle."""
        return [self._protocol.engine, *self.going]

    @property
    def next_look(self) -> int:
        """Cycles in all before the next look; those that were made once it is decided."""
        pending = [one.stop.pairs if one.stop else self._first_look for one in self._pairings if one.goes_on]
        return min(pending) if self.going else self.cycles

    def first_look_after(self, cycles: int) -> None:
        """Set the cycles before the first look."""
        self._first_look = cycles

    def add(self, made: Sequence[MeasuredRound]) -> None:
        """Add the rounds of one cycle at the operating point, in the order in which they were made."""
        engine, asked = self._protocol.engine.name, {one.result.side for one in made}
        for pairing in self._pairings:
            if pairing.goes_on and pairing.reference.name in asked:
                own = (engine, pairing.reference.name)
                pairing.rounds += [one for one in made if one.result.side in own]
        self.cycles += 1

    def look(self, spent: Spent, budget_s: float) -> None:
        """Look at all comparisons that are due; all cycles together may take `budget_s` seconds.

        First as if each were the only one that goes on: those that are won leave their time to the others.
        """
        due = [
            one
            for one in self._pairings
            if one.goes_on and (one.stop.pairs if one.stop else self._first_look) <= self.cycles
        ]
        before = {one.reference.name: one.stop.looks if one.stop else 0 for one in due}
        for pairing in due:
            self._look(pairing, before, spent, budget_s, [self._protocol.engine, pairing.reference])
        for pairing in due:
            if pairing.goes_on and len(self.going) > 1:
                self._look(pairing, before, spent, budget_s, self.sides)

    def _look(
        self, one: Pairing, before: dict[str, int], spent: Spent, budget_s: float, sides: Sequence[Side]
    ) -> None:
        one.stop = next_stop(
            one.rounds,
            self._protocol.speed,
            engine=self._protocol.engine.name,
            look=before[one.reference.name] + 1,
            affordable=spent.affordable(budget_s, self.cycles, sides),
            comparisons=len(self._pairings),
            cycle_s=spent.cycle_s(sides),
            attempt=self._attempt,
        )

    def finish(self, made_again: int, say: Say) -> tuple[Side, SpeedPoint, list[SpeedPoint]]:
        """Return the strongest reference with its point at the operating point, and the points of the others.

        The strongest is the one that keeps the engine from winning or, if nobody does, the one with the
        smallest ratio. The smallest of several ratios that were measured errs against the engine.
        """
        found = [(one, self._point(one, made_again, say)) for one in self._pairings]
        found.sort(key=lambda one: (_rank(one[0]), self._ratio(one[1])))
        (strongest, point), *others = found
        return strongest.reference, point, [other for _, other in others]

    def _point(self, one: Pairing, made_again: int, say: Say) -> SpeedPoint:
        if one.stop is None:
            raise LookupError("a contest is finished after its first look")
        stop = one.stop
        if one.goes_on:
            stop = replace(stop, pairs=self.cycles, reason="another reference decided")
        sides = (one.reference, self._protocol.engine)
        return finish_point(one.rounds, sides, self._protocol, stop, made_again, say)

    def _ratio(self, point: SpeedPoint) -> float:
        return point_ratio(point, self._protocol.speed).interval.estimate


def _rank(one: Pairing) -> int:
    """Return how much a comparison says against the engine; the smallest number says most."""
    if one.is_won:
        return 3
    if one.goes_on or one.stop is None:
        return 2
    return 0 if one.stop.ended in ("clear", "resolved") else 1
