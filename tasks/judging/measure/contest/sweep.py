"""A sweep over lengths: the engine and the strongest reference, with requests that decide nothing."""

import asyncio
from collections.abc import Sequence
from functools import partial
from statistics import fmean

from artifacts.progress import Say
from tasks.judging.endpoint import Side
from tasks.judging.measure.contest.alternation import Alternation
from tasks.judging.measure.disturbance import Repeats
from tasks.judging.measure.phases import Budget, in_words
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.timed import TimedRounds
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
    points, left_out = [], []
    rounds = TimedRounds((), (), ())
    load, wall_s = protocol.workload, fmean(one.wall_s for one in decisive.rounds)
    sides: Sequence[Side] = (protocol.engine, reference)
    for lengths in load.sweep:
        name = f"{lengths.input_tokens} + {lengths.output_tokens} tokens"
        own = protocol.model_copy(update={"workload": load.of_lengths(lengths)})
        asked, said = runner.of_lengths(lengths), partial(_named, say, name)
        per_request_s = wall_s / protocol.rounds.requests(load.operating_point)
        per_request_s *= lengths.output_tokens / load.output_tokens
        for concurrency in load.concurrency:
            requests = 2 * (protocol.speed.pairs_elsewhere + 1) * protocol.rounds.requests(concurrency)
            if (needed_s := requests * per_request_s) > budget.left_s:
                left = f"takes about {in_words(needed_s)}, and {in_words(budget.left_s)} are left of"
                left_out.append(f"{name}, {concurrency} in flight: {left} {budget.in_words}.")
                say(f"left out: {left_out[-1]}")
                continue
            repeats = Repeats(placement.observer, say)
            with budget.spending(), placement.serving(sides) as endpoints:
                up = {side.name: endpoint for side, endpoint in zip(sides, endpoints, strict=True)}
                made = Alternation(asked, up, sides, own, 1, repeats, said)
                point = asyncio.run(made.elsewhere(concurrency, reference))
            repeats.require_few()
            points.append(SweepPoint(**lengths.model_dump(), point=point))
            rounds = rounds.joined(made.timed(reference))
    return points, left_out, rounds


def _named(say: Say, name: str, line: str) -> None:
    say(f"{name}: {line}")
