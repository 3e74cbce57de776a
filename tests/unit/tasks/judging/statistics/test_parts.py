"""Bounds of the parts of answers and contexts keep their confidence: simulated over heavy tails."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine_specs.spec import AccuracyGate
from tasks.judging.statistics import part_interval, part_limit, part_texts_to_pass

MARGIN, RUNS, DRAWS, PARTS, TEXTS = 0.02, 100, 500, 5, 64
TOLERATED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)
GATE = AccuracyGate(path="texts.jsonl", samples=1, max_regret_nats_per_token=MARGIN)
LIMIT = part_limit(GATE)

Texts = list[tuple[float, float]]
Population = Callable[[np.random.Generator, float], Texts]


def garbage(source: np.random.Generator, mean: float) -> Texts:
    """Some texts are wrong by as much as a gross error; texts have many or few tokens in the part."""
    tokens = source.integers(1, 64, TEXTS).astype(float)
    wrong = source.random(TEXTS) < mean / GATE.gross_error_nats
    return list(zip((tokens * wrong * GATE.gross_error_nats).tolist(), tokens.tolist(), strict=True))


def heavy(source: np.random.Generator, mean: float) -> Texts:
    """A tenth of the texts has regret, with a log-normal mean."""
    regrets = 10 * mean * source.lognormal(-0.5, 1, TEXTS) * (source.random(TEXTS) < 0.1)
    return [(32 * regret, 32.0) for regret in regrets.tolist()]


@pytest.mark.parametrize("population", [garbage, heavy])
def test_a_part_at_its_limit_hardly_ever_passes(population: Population) -> None:
    source = np.random.default_rng(17)
    passed = sum(
        part_interval(population(source, LIMIT), GATE, parts=PARTS, draws=DRAWS).upper <= LIMIT
        for _ in range(RUNS)
    )
    assert passed / RUNS <= TOLERATED


@pytest.mark.parametrize("population", [garbage, heavy])
def test_five_parts_at_the_margin_are_hardly_ever_accused(population: Population) -> None:
    source = np.random.default_rng(18)

    def accused() -> bool:
        return any(
            part_interval(population(source, MARGIN), GATE, parts=PARTS, draws=DRAWS).lower > MARGIN
            for _ in range(PARTS)
        )

    assert sum(accused() for _ in range(RUNS)) / RUNS <= TOLERATED


def test_parts_share_the_error_of_accusations_alone() -> None:
    texts = [(0.5, 10.0)] * 20 + [(0.0, 10.0)] * 44
    one, many = (part_interval(texts, GATE, parts=parts, draws=20_000) for parts in (1, 20))
    assert many.lower < one.lower
    assert many.upper == one.upper
    assert one.estimate == pytest.approx(10.0 / 640)


def test_the_texts_said_to_be_needed_are_enough() -> None:
    needed = part_texts_to_pass([(0.01, 1.0)] * 5, GATE)
    assert part_interval([(0.01, 1.0)] * (needed + 1), GATE, parts=PARTS).upper <= LIMIT
    assert part_interval([(0.01, 1.0)] * (needed - 4), GATE, parts=PARTS).upper > LIMIT
    assert part_texts_to_pass([(0.0, 1.0), (1.0, 1.0)], GATE) > needed
