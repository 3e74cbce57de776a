"""When to stop measuring: looks at the ratio, and the share of the error that each of them spends. Pure.

Every look may be the one that is wrong in the engine's favour, so all of them share the declared error:

- looks of one measurement: one before each doubling of the pairs. Early ones spend a fifth, the first a half
  of it, each further one half of what is left; the last one spends four fifths. How many pairs the last look
  needs follows from the noise and never from the ratio.
- attempts, measurements of the same question again: the k-th spends 1 / (k (k + 1)) of the error, which adds
  up to all of it (1/2, 1/6, 1/12, ...).
- variants of one spec: each has an equal part (Bonferroni), see `SpeedPlan.confidence`.

A measurement ends at a look if the ratio is clear of the bar; if it is as precise as declared; if the budget
is spent; or, before it is spent, if it allows less than half of the pairs that are needed and the ratio is so
near to the bar that these would not settle it. The last two only ever make an engine `inconclusive`.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.judging.protocol import SpeedPlan
from tasks.judging.results import Ended
from tasks.judging.statistics.paired_rounds import Pairs
from tasks.judging.statistics.ratio_bounds import Noise, log_bounds, noise_of, pairs_needed, predicted_reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

EARLY_SHARE = 0.2
ENDED: tuple[Ended, ...] = ("undecided", "clear", "resolved", "budget", "underpowered")
UNDECIDED, CLEAR, RESOLVED, BUDGET, UNDERPOWERED = range(len(ENDED))


class Look(NamedTuple):
    """What a look found; arrays with one entry per run, or scalars.

    Attributes:
        ended: why no more pairs are made, as an index into `ENDED`; `undecided` goes on.
        lower: lower bound of the log ratio.
        upper: upper bound of it.
        confidence: confidence of each bound.
        needed: pairs in all that reach the declared resolution, by the noise so far.
        pairs: pairs to have made before the next look; those that were made if there is none.
    """

    ended: "NDArray[Any]"
    lower: "NDArray[Any]"
    upper: "NDArray[Any]"
    confidence: "NDArray[Any]"
    needed: "NDArray[Any]"
    pairs: "NDArray[Any]"


def attempt_confidence(confidence: float, attempt: int) -> float:
    """Return the confidence of one attempt, the first being 1, that leaves all of them at `confidence`."""
    return 1 - (1 - confidence) / (attempt * (attempt + 1))


def early_confidence(confidence: float, number: int) -> float:
    """Return the confidence of the early look with this number; the first is 1."""
    return 1 - (1 - confidence) * EARLY_SHARE * 0.5**number


def last_confidence(confidence: float) -> float:
    """Return the confidence of the last look."""
    return 1 - (1 - confidence) * (1 - EARLY_SHARE)


def take_look(
    pairs: Pairs,
    plan: SpeedPlan,
    *,
    confidence: float,
    number: int,
    affordable: int,
    comparisons: int = 1,
) -> Look:
    """Look at the pairs made so far.

    Args:
        pairs: all of them.
        plan: bar and resolution.
        confidence: of all looks of this measurement together.
        number: of this look; the first is 1.
        affordable: pairs in all that the budget allows.
        comparisons: how many the engine has to win; they share the power, not the error.
    """
    import numpy as np

    made, bar = len(pairs), np.log(plan.gate.min_speedup)
    noise, last = noise_of(pairs), last_confidence(confidence)
    needed = pairs_needed(noise, resolution=plan.resolution, confidence=last, comparisons=comparisons)
    is_last = (needed <= made) | (made >= affordable)
    early = log_bounds(pairs, early_confidence(confidence, number))
    final = log_bounds(pairs, last)
    lower, upper = (np.where(is_last, final[i], early[i]) for i in (1, 2))
    clear = (lower >= bar) | (upper < bar)
    hopeless = (2 * affordable < needed) & _settles_nothing(noise, final[0] - bar, affordable, last)
    ended = np.select(
        [clear, needed <= made, is_last, hopeless], [CLEAR, RESOLVED, BUDGET, UNDERPOWERED], UNDECIDED
    )
    further = np.minimum(np.minimum(2 * made, needed), affordable)
    return Look(
        ended=ended,
        lower=lower,
        upper=upper,
        confidence=np.where(is_last, last, early_confidence(confidence, number)),
        needed=needed,
        pairs=np.where(ended == UNDECIDED, np.maximum(further, made + 1), made),
    )


def _settles_nothing(
    noise: Noise, distance: "NDArray[Any]", affordable: int, confidence: float
) -> "NDArray[Any]":
    """Whether all pairs that are affordable would still leave the bar within the interval, most likely."""
    half = predicted_reach(noise, affordable, confidence)
    hopeless: NDArray[Any] = abs(distance) + noise.error < half
    return hopeless
