"""Pairs of neighbouring blocks of rounds, one block per side, in the form that intervals are computed from.

A pair is seen in two ways, and an engine has to be faster in both:

- by round: log(engine / reference) of the rates of its two blocks. Every pair counts alike.
- by time: tokens and seconds of all rounds of a side, added up. A round that stalls counts with all the
  seconds that it took, as users feel it and as devices are paid for.

The metric never changes after the fact. A round without a request within the objective has a goodput of zero,
which has no logarithm: it counts as if half of one of its requests had been good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tasks.judging.results import Metric, RoundResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_GOOD_REQUESTS = 0.5


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of blocks; all arrays may have leading axes, one entry per simulated run.

    Attributes:
        log_rates: (..., pairs, 2), mean log rate of the rounds of the engine's and of the reference's block.
        tokens: (..., pairs, 2), counted tokens per device of all rounds of the block.
        seconds: (..., pairs, 2), their seconds.
        rounds: rounds of one block.
        start_spread: standard deviation of what the starts of both sides add to the log ratio, for all pairs
            alike; 0 if every block has a start of its own.
    """

    log_rates: "NDArray[Any]"
    tokens: "NDArray[Any]"
    seconds: "NDArray[Any]"
    rounds: int
    start_spread: float = 0.0

    def __len__(self) -> int:
        """Return the number of pairs."""
        return int(self.log_rates.shape[-2])

    def first(self, count: int) -> "Pairs":
        """Return the first pairs."""
        rates, tokens, seconds = (
            part[..., :count, :] for part in (self.log_rates, self.tokens, self.seconds)
        )
        return Pairs(rates, tokens, seconds, self.rounds, self.start_spread)

    def by_round(self) -> "NDArray[Any]":
        """Return log(engine / reference) of each pair, (..., pairs)."""
        ratios: NDArray[Any] = self.log_rates[..., 0] - self.log_rates[..., 1]
        return ratios

    def by_time(self) -> "NDArray[Any]":
        """Return one value per pair, (..., pairs): their mean is the log ratio of the totals.

        Each value is the log ratio plus the pair's influence on it (the delta method), so their spread is
        that of the ratio of totals.
        """
        import numpy as np

        tokens, seconds = (part.sum(-2, keepdims=True) for part in (self.tokens, self.seconds))
        influence = len(self) * (self.tokens / tokens - self.seconds / seconds)
        total = np.log(tokens / seconds)[..., 0, :]
        ratios: NDArray[Any] = np.repeat((total[..., 0] - total[..., 1])[..., None], len(self), -1)
        ratios += influence[..., 0] - influence[..., 1]
        return ratios


def pairs_of(rounds: Sequence[RoundResult], metric: Metric, *, engine: str, start_spread: float) -> Pairs:
    """Return the pairs of neighbouring blocks.

    Args:
        rounds: in their order; a block of several rounds has a start of its own.
        metric: what is compared.
        engine: name of that side.
        start_spread: see `SpeedPlan`; it counts if each side was started once.
    """
    import numpy as np

    blocks = [list(group) for _, group in groupby(rounds, key=lambda one: one.block)]
    pairs = zip(blocks[::2], blocks[1::2], strict=True)
    ordered = [(a, b) if a[0].side == engine else (b, a) for a, b in pairs]
    return Pairs(
        log_rates=np.array([[_log_rate(block, metric) for block in pair] for pair in ordered]),
        tokens=np.array([[sum(_tokens(one, metric) for one in block) for block in pair] for pair in ordered]),
        seconds=np.array([[sum(one.wall_s for one in block) for block in pair] for pair in ordered]),
        rounds=max(len(block) for block in blocks),
        start_spread=0.0 if max(len(block) for block in blocks) > 1 else start_spread,
    )


def _log_rate(block: Sequence[RoundResult], metric: Metric) -> float:
    return fmean(math.log(_tokens(one, metric) / one.wall_s) for one in block)


def _tokens(one: RoundResult, metric: Metric) -> float:
    """Return the counted output tokens per device of a round; never zero."""
    every = sum(record.output_tokens for record in one.requests)
    least = LEAST_GOOD_REQUESTS * every / len(one.requests)
    return max(one.per_second(metric) * one.wall_s, least / one.devices)
