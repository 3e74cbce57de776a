"""Bounds on how much less often one of two sides is right, over questions that both answered. Pure.

Per question, the loss is 1 if only the reference is right, -1 if only the engine is, and 0 otherwise. Its
mean is the difference of both scores. McNemar's test looks at the same pairs, but its exact form, conditional
on how many differ, bounds a ratio, and not the difference that a margin is about. Newcombe's interval
(Statist. Med. 17, 1998, 2635-2650) and Tango's (same volume, 891-908) are of the difference, but approximate:
with few questions that the sides answer differently, which is usual here, they cover less often than they
say. If all n answers are alike, 95 % confidence leaves a loss of up to 3.0 / n; Tango's bound is 2.7 / n.

So the bound is the one that regrets have (`regret_bounds`), of 1 + loss, which lies in [0, 2]. Without any
difference it is exactly Clopper and Pearson's; with many it approaches the normal bound. `selftest` simulates
it. Questions are taken as independent of each other.
"""

import math
from collections.abc import Sequence
from statistics import pstdev

from tasks.judging.results import Interval
from tasks.judging.statistics.regret_bounds import bounded_mean_interval, samples_to_pass

Pair = tuple[bool, bool]
"""Whether the engine and the reference are right."""


def paired_loss_interval(pairs: Sequence[Pair], confidence: float) -> Interval:
    """Return bounds of the share by which the engine is right less often than the reference."""
    moved = bounded_mean_interval([1.0 + loss for loss in _losses(pairs)], cap=2.0, confidence=confidence)
    return Interval(
        estimate=moved.estimate - 1, lower=moved.lower - 1, upper=moved.upper - 1, confidence=confidence
    )


def mcnemar_p(pairs: Sequence[Pair]) -> float:
    """Return the exact two-sided p-value of McNemar's test that both sides are right equally often."""
    losses = _losses(pairs)
    differing = sum(loss != 0 for loss in losses)
    fewer = min(losses.count(1), losses.count(-1))
    tail = sum(math.comb(differing, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << differing))


def pairs_to_pass(pairs: Sequence[Pair], max_loss: float, confidence: float) -> int:
    """Return the questions with which an engine at half the loss, of equal spread, passes with 80 % power."""
    half = max_loss / 2
    spread = pstdev(_losses(pairs))
    return samples_to_pass(spread=spread, distance=half, worst=1 - half, confidence=confidence)


def _losses(pairs: Sequence[Pair]) -> list[int]:
    return [int(reference) - int(engine) for engine, reference in pairs]
