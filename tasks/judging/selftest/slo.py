"""The family `slo`: how often an objective is called met that is not, and how often one is found that is.

What is drawn is which requests miss a limit: alone, or in groups of neighbours, as a stall harms all that
wait.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.judging.selftest.rates import Rate, Row
from tasks.judging.statistics import (
    Kept,
    Misses,
    attempt_confidence,
    limits_of,
    look_confidence,
    requests_of_look,
)

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

CONFIDENCE = 0.95
GAPS = 31
# Quantiles of fewer draws than the gate takes: there are thousands of them.
DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which requests miss the objective.

    Attributes:
        name: what is the matter with them.
        bad: share that misses where the objective is not kept.
        good: share that misses where it is.
        together: neighbours that miss together.
        gaps: whether gaps are too long, not the times to the first token; `bad` and `good` are shares of
            gaps, and requests that have such gaps have this many of them; 0: first tokens are late.
        looks: looks that the budget allows.
        attempts: how often it is measured until it is settled.
    """

    name: str
    bad: float
    good: float = 0.001
    together: int = 1
    gaps: int = 0
    looks: int = 3
    attempts: int = 1


SCENARIOS = (
    Scenario("1 % miss, at the limit", 0.01),
    Scenario("2 % miss", 0.02),
    Scenario("2 % miss, none otherwise", 0.02, good=0.0),
    Scenario("2 % miss, one look", 0.02, looks=1),
    Scenario("2 % miss, two at a time", 0.02, together=2),
    Scenario("4 % miss, four at a time", 0.04, together=4),
    Scenario("16 % miss, sixteen at a time", 0.16, together=16),
    Scenario("2 % of gaps are long: one or none of a request's", 0.02, gaps=1),
    Scenario("2 % of gaps are long: half of a request's or none", 0.02, gaps=GAPS // 2),
    Scenario("1 % miss, until conclusive (3 times)", 0.01, looks=2, attempts=3),
)


def slo_rows(repetitions: int, seed: int, scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """Simulate all scenarios, each with this many repetitions."""
    return [_row(one, repetitions, seed + 10 * place) for place, one in enumerate(scenarios)]


def _row(scenario: Scenario, repetitions: int, seed: int) -> Row:
    bad = list(_judged(scenario, scenario.bad, repetitions, seed))
    good = list(_judged(scenario, scenario.good, repetitions, seed + 1))

    def rate(found: list[tuple[Kept, int]], outcome: Kept) -> Rate:
        return Rate.of(sum(one == outcome for one, _ in found), repetitions)

    return Row(
        scenario=scenario.name,
        false_alarm=rate(bad, "met"),
        found=rate(good, "met"),
        missed=rate(good, "missed"),
        inconclusive=rate(good, "underpowered"),
        work={
            "if it is not kept": sum(requests for _, requests in bad) / repetitions,
            "if it is": sum(requests for _, requests in good) / repetitions,
        },
    )


def _judged(scenario: Scenario, share: float, repetitions: int, seed: int) -> Iterator[tuple[Kept, int]]:
    """Yield the outcome of each simulated measurement, and the requests that it took."""
    import numpy as np

    source = np.random.default_rng(seed)
    for _ in range(repetitions):
        outcome: Kept = "underpowered"
        requests = 0
        for attempt in range(1, scenario.attempts + 1):
            outcome, made = _attempt(scenario, share, source, attempt)
            requests += made
            if outcome != "underpowered":
                break
        yield outcome, requests


def _attempt(scenario: Scenario, share: float, source: "Generator", attempt: int) -> tuple[Kept, int]:
    confidence = attempt_confidence(CONFIDENCE, attempt)
    drawn = _misses(scenario, share, source, requests_of_look(confidence, scenario.looks))
    for number in range(1, scenario.looks + 1):
        count = requests_of_look(confidence, number)
        seen = Misses(drawn.late[:count], drawn.slow[:count], drawn.gaps[:count])
        outcome = limits_of(seen, look_confidence(confidence, number), draws=DRAWS).kept
        if outcome != "underpowered":
            break
    return outcome, count


def _misses(scenario: Scenario, share: float, source: "Generator", count: int) -> Misses:
    """Draw what misses: groups begin anywhere, so the first one may be cut."""
    import numpy as np

    together, slow_each = scenario.together, scenario.gaps
    begins = source.random(count + together) < (share * (GAPS / slow_each if slow_each else 1)) / together
    hit: NDArray[Any] = np.convolve(begins, np.ones(together))[together : together + count] > 0
    none = np.zeros(count)
    late, slow = (none, slow_each * hit) if slow_each else (hit.astype(float), none)
    return Misses(late.tolist(), slow.tolist(), [float(GAPS)] * count)
