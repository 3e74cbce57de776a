"""The family `task scores`: how often an engine passes that answers too badly, and how often a good one does.

A scenario says how often the sides answer differently, and over how many questions. At the margin, the engine
loses exactly as much as it may; otherwise nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.judging.gates import Tested, loss_outcome
from tasks.judging.selftest.rates import Rate, Row

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RIGHT = (True, True)
LOST, GAINED = (False, True), (True, False)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One task.

    Attributes:
        name: what the answers are like.
        questions: number of questions.
        margin: the loss that is allowed.
        differing: share of questions that only one side answers right, if the engine loses nothing.
    """

    name: str
    questions: int
    margin: float
    differing: float


SCENARIOS = (
    Scenario("300 questions, margin 1 point, answers alike", 300, 0.01, 0.0),
    Scenario("300 questions, margin 2 points, 1 % differ", 300, 0.02, 0.01),
    Scenario("1,000 questions, margin 1 point, 0.2 % differ", 1_000, 0.01, 0.002),
    Scenario("1,000 questions, margin 2 points, 4 % differ", 1_000, 0.02, 0.04),
    Scenario("1,000 questions, margin 5 points, 20 % differ", 1_000, 0.05, 0.2),
    Scenario("4,000 questions, margin 1 point, 2 % differ", 4_000, 0.01, 0.02),
    Scenario("4,000 questions, margin 2 points, 10 % differ", 4_000, 0.02, 0.1),
)


def task_rows(repetitions: int, seed: int, scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """Simulate all scenarios, each with this many repetitions."""
    return [_row(one, repetitions, seed + 10 * place) for place, one in enumerate(scenarios)]


def _row(scenario: Scenario, repetitions: int, seed: int) -> Row:
    at_margin = simulate(scenario, scenario.margin, repetitions, seed)
    equal = simulate(scenario, 0.0, repetitions, seed + 1)
    return Row(
        scenario=scenario.name,
        false_alarm=_share(at_margin, "pass"),
        found=_share(equal, "pass"),
        missed=_share(equal, "fail"),
        inconclusive=_share(equal, "underpowered"),
        work={"questions": scenario.questions},
    )


def simulate(scenario: Scenario, loss: float, repetitions: int, seed: int) -> list[Tested]:
    """Judge engines that answer this share of the questions worse than the reference."""
    import numpy as np

    drawn = _counts(scenario, loss, repetitions, np.random.default_rng(seed))
    return [_judged(scenario.questions, int(a), int(b), scenario.margin) for a, b in drawn]


def _counts(scenario: Scenario, loss: float, repetitions: int, source: "Generator") -> "NDArray[Any]":
    """Draw how many questions only the reference and only the engine answer right: [repetitions, 2]."""
    differing = max(scenario.differing, loss)
    shares = [(differing + loss) / 2, (differing - loss) / 2, 1 - differing]
    return source.multinomial(scenario.questions, shares, size=repetitions)[:, :2]


@cache
def _judged(questions: int, lost: int, gained: int, margin: float) -> Tested:
    pairs = [LOST] * lost + [GAINED] * gained + [RIGHT] * (questions - lost - gained)
    return loss_outcome(pairs, margin, CONFIDENCE)


def _share(outcomes: Sequence[Tested], outcome: Tested) -> Rate:
    return Rate.of(outcomes.count(outcome), len(outcomes))
