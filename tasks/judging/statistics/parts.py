"""Parts of answers and contexts, and bounds of the mean regret in each. Pure.

An engine may be wrong only late in an answer, or only beyond a length of context, where few tokens of a
measurement lie: their mean over all texts hardly shows it. So the later parts are looked at by themselves:

- by depth: the second half of the workload's answers, and what comes after them;
- by context, which is all that stands before a token, prompt and answer: the second, third and fourth quarter
  of what the shape allows.

Invariants:
- An engine is accused if *any* part is shown to be beyond the margin, so all parts share that error. It
  passes if *every* part is shown to be within its limit; nothing is shared there, as one part beyond it is
  enough.
- A text is one unit, with as many tokens as it has in the part: continuations that go far into a part count
  more than those that touch it. Texts in flight together are not joined: what harms an iteration now and then
  is found in the mean of all texts; here it is what harms a part always.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Literal

from engine_specs.spec import AccuracyGate
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import Interval, RegretSample
from tasks.judging.statistics.regret_bounds import DRAWS, TAIL, Unit, mean_bounds, samples_to_pass

QUARTERS = 4
# Of a few tokens after the workload's answers, single ones would decide; they are joined to these answers.
LEAST_BEYOND = 16


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens at like places, from `first` up to, but without, `end`.

    Attributes:
        by: depth, counted from the first token of an answer; or context, from the first token of a prompt.
        first: the first place; 0 is the first token.
        end: the place after the last one.
    """

    by: Literal["depth", "context"]
    first: int
    end: int

    @property
    def name(self) -> str:
        """The tokens in words, counted from 1."""
        of = {"depth": "of the answer", "context": "of the context"}[self.by]
        return f"tokens {self.first + 1:,} to {self.end:,} {of}"

    def unit(self, sample: RegretSample) -> Unit:
        """Return the sum of regrets of a text's tokens in the span, and the number of these tokens."""
        shift = sample.context_tokens if self.by == "context" else 0
        first, end = max(self.first - shift, 0), min(self.end - shift, len(sample.engine_tokens))
        regrets = (one.regret_nats for one in sample.departures if first <= one.index < end)
        return sum(regrets), float(max(end - first, 0))


def spans_of(plan: AccuracyPlan) -> tuple[Span, ...]:
    """Return the later parts of answers and contexts, as far as any window reaches."""
    deepest = max(group.continuation_tokens for group in plan.windows)
    furthest = reach_of(plan)
    answer, limit = plan.answer_tokens, plan.context_limit
    ends = [limit * quarter // QUARTERS for quarter in range(1, QUARTERS + 1)]
    beyond = answer if deepest - answer >= LEAST_BEYOND else deepest
    depths = [Span("depth", answer // 2, min(beyond, deepest)), Span("depth", beyond, deepest)]
    contexts = [Span("context", first, min(end, furthest)) for first, end in pairwise(ends)]
    return tuple(span for span in (*depths, *contexts) if span.first < span.end)


def reach_of(plan: AccuracyPlan) -> int:
    """Return how many tokens of context and continuation the longest windows have."""
    return max(group.max_context_tokens + group.continuation_tokens for group in plan.windows)


def units_of(span: Span, samples: Sequence[RegretSample]) -> list[Unit]:
    """Return the units of all texts that have tokens in a span."""
    return [unit for unit in map(span.unit, samples) if unit[1]]


def part_limit(gate: AccuracyGate) -> float:
    """Return the mean regret that has to be excluded in every part; no less than the margin of the mean."""
    return max(gate.max_part_regret_nats, gate.max_regret_nats_per_token)


def part_interval(units: Sequence[Unit], gate: AccuracyGate, *, parts: int, draws: int = DRAWS) -> Interval:
    """Return bounds of the mean regret per token of one part of so many.

    The upper bound has the declared confidence. The lower one has its part of the error, so that it holds for
    all parts at once.
    """

    def worst(largest: float) -> float:
        return max(gate.gross_error_nats, TAIL * largest)

    shared = 1 - (1 - gate.confidence) / parts
    return mean_bounds(_by_mean_number(units), worst, gate.confidence, draws, lower_confidence=shared)


def part_texts_to_pass(units: Sequence[Unit], gate: AccuracyGate) -> int:
    """Return the texts in a part with which an engine at half the margin there passes with 80 % power."""
    half, spread = gate.max_regret_nats_per_token / 2, pstdev(total for total, _ in _by_mean_number(units))
    distance, worst = part_limit(gate) - half, gate.gross_error_nats - half
    return samples_to_pass(
        spread=spread, distance=distance, worst=max(worst, distance), confidence=gate.confidence
    )


def _by_mean_number(units: Sequence[Unit]) -> list[Unit]:
    """Return the same with the mean number of tokens as unit, so that an assumed text is of usual size."""
    usual = fmean(number for _, number in units)
    return [(total / usual, number / usual) for total, number in units]
