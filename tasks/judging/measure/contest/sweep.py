"""A sweep over lengths: the engine and the strongest reference, with requests that decide nothing.

Invariant: it costs nothing that was measured before. If the budget ends, or others keep the host busy, the
rest of the sweep is left out.
"""

import asyncio
from functools import partial
from statistics import fmean

from artifacts.progress import Say
from engine_specs.spec import Lengths
from tasks.errors import HostBusy
from tasks.judging.endpoint import Side
from tasks.judging.measure.contest.alternation import Alternation
from tasks.judging.measure.disturbance import Repeats
from tasks.judging.measure.phases import Budget, in_words, left_in_words
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.timed_answers import TimedRounds
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import SpeedPoint, SweepPoint


def sweep_in_rounds(
    placement: Placement,
    runner: RoundRunner,
    reference: Side,
    protocol: JudgingProtocol,
    budget: Budget,
    decisive: SpeedPoint,
    *,
    say: Say,
) -> tuple[list[SweepPoint], list[str], TimedRounds]:
    """Compare two resident sides with requests of other lengths at every concurrency, while the budget lasts.

    Args:
        placement: has all sides up.
        runner: makes the rounds of the workload's own lengths.
        reference: the side to compare the engine with.
        protocol: which lengths, and how many rounds.
        budget: what is left of it.
        decisive: the operating point, by which the time is estimated.
        say: takes lines of progress.

    Returns:
        The points, what was left out, and the rounds with their answers.
    """
    sweep = _Sweep(placement, runner, reference, protocol, budget, decisive, say)
    for lengths in protocol.workload.sweep:
        for concurrency in protocol.workload.concurrency:
            sweep.measure(lengths, concurrency)
    return sweep.points, sweep.left_out, sweep.rounds


class _Sweep:
    """What was measured so far; see `sweep_in_rounds`."""

    def __init__(
        self,
        placement: Placement,
        runner: RoundRunner,
        reference: Side,
        protocol: JudgingProtocol,
        budget: Budget,
        decisive: SpeedPoint,
        say: Say,
    ) -> None:
        self._placement = placement
        self._runner = runner
        self._reference = reference
        self._protocol = protocol
        self._budget = budget
        self._round_s = fmean(one.wall_s for one in decisive.rounds)
        self._say = say
        self._busy = ""
        self.points: list[SweepPoint] = []
        self.left_out: list[str] = []
        self.rounds = TimedRounds((), (), ())

    def measure(self, lengths: Lengths, concurrency: int) -> None:
        """Measure one point, unless the budget or others do not allow it."""
        name = f"{lengths.input_tokens} + {lengths.output_tokens} tokens"
        if not (why := self._busy or self._unaffordable(lengths, concurrency)):
            try:
                with self._budget.spending():
                    self._compare(lengths, concurrency, partial(_named, self._say, name))
            except HostBusy as error:
                # It decides nothing, so what was measured before still counts.
                why = self._busy = f"others kept the host busy ({error.what})"
        if why:
            self.left_out.append(f"{name}, {concurrency} in flight: {why}.")
            self._say(f"left out: {self.left_out[-1]}")

    def _unaffordable(self, lengths: Lengths, concurrency: int) -> str:
        """Say what a point takes if that is more than is left; empty if it is not."""
        load, rounds = self._protocol.workload, self._protocol.rounds
        per_request_s = self._round_s / rounds.requests(load.operating_point)
        per_request_s *= lengths.output_tokens / load.output_tokens
        requests = 2 * (self._protocol.speed.pairs_elsewhere + 1) * rounds.requests(concurrency)
        if (needed_s := requests * per_request_s) <= self._budget.left_s:
            return ""
        left = left_in_words(self._budget.left_s)
        return f"takes about {in_words(needed_s)}, and {left} are left of {self._budget.in_words}"

    def _compare(self, lengths: Lengths, concurrency: int, say: Say) -> None:
        own = self._protocol.model_copy(update={"workload": self._protocol.workload.of_lengths(lengths)})
        sides = (self._protocol.engine, self._reference)
        repeats = Repeats(self._placement.observer, self._say)
        with self._placement.serving(sides) as endpoints:
            up = {side.name: endpoint for side, endpoint in zip(sides, endpoints, strict=True)}
            made = Alternation(self._runner.of_lengths(lengths), up, sides, own, 1, repeats, say)
            point = asyncio.run(made.elsewhere(concurrency, self._reference))
        repeats.require_few()
        self.points.append(SweepPoint(**lengths.model_dump(), point=point))
        self.rounds = self.rounds.joined(made.timed(self._reference))


def _named(say: Say, name: str, line: str) -> None:
    say(f"{name}: {line}")
