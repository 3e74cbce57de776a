"""Engines whose true mean regret is the margin, or that are wrong in one request of 200, hardly ever pass.

Simulated as whole answers, of which each token has a regret: heavy tails, answers that are wrong as a whole,
texts that are wrong together. A share of passes has a standard error; three of them are tolerated.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine_specs.spec import AccuracyGate
from tasks.judging.statistics import gross_error_interval, regret_interval

MARGIN, TOKENS, RUNS, DRAWS = 0.02, 32, 60, 400
TOLERATED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)
GATE = AccuracyGate(path="texts.jsonl", samples=1, max_regret_nats_per_token=MARGIN)
# Half of the texts are asked with this many in flight.
TOGETHER = 4

Regrets = np.ndarray
Engine = Callable[[np.random.Generator, int], Regrets]


def garbage(share: float, nats: float, together: int = 1) -> Engine:
    """A share of requests is answered with garbage, in groups."""

    def regrets(source: np.random.Generator, texts: int) -> Regrets:
        wrong = np.repeat(source.random(math.ceil(texts / together)) < share, together)[:texts]
        return np.where(wrong[:, None], source.exponential(nats, (texts, TOKENS)), 0.0)

    return regrets


def heavy(sigma: float, share: float) -> Engine:
    """A share of texts has regret, with a log-normal mean."""

    def regrets(source: np.random.Generator, texts: int) -> Regrets:
        means = MARGIN / share * np.exp(source.normal(0, sigma, texts) - sigma**2 / 2)
        found = means * (source.random(texts) < share)
        return found[:, None] * source.exponential(1.0, (texts, TOKENS))

    return regrets


def passes(regrets: Regrets) -> bool:
    """Whether both gates on regrets are passed."""
    texts = len(regrets)
    in_flight = [1] * (texts // 2) + [TOGETHER] * (texts - texts // 2)
    shares = (regrets > GATE.gross_error_nats).mean(axis=1)
    gross = gross_error_interval(shares.tolist(), in_flight, GATE, draws=DRAWS)
    if gross.upper > GATE.max_gross_error_share:
        return False
    mean = regret_interval(regrets.mean(axis=1).tolist(), in_flight, GATE, draws=DRAWS)
    return mean.upper <= MARGIN


def share_of_passes(engine: Engine, texts: int) -> float:
    source = np.random.default_rng(15)
    return sum(passes(engine(source, texts)) for _ in range(RUNS)) / RUNS


@pytest.mark.parametrize("texts", [100, 1000, 4000])
@pytest.mark.parametrize(
    "engine",
    [
        garbage(MARGIN / 8, 8.0),
        garbage(MARGIN / 1, 1.0, together=TOGETHER),
        heavy(2.5, share=0.05),
    ],
    ids=["rare-garbage", "wrong-together", "heavy-tail"],
)
def test_an_engine_at_the_margin_passes_in_at_most_five_percent_of_runs(engine: Engine, texts: int) -> None:
    assert share_of_passes(engine, texts) <= TOLERATED


@pytest.mark.parametrize("texts", [400, 1000, 4000])
def test_more_samples_do_not_help_an_engine_that_is_wrong_in_one_request_of_200(texts: int) -> None:
    assert share_of_passes(garbage(1 / 200, 8.0), texts) <= TOLERATED


def test_an_engine_with_a_small_regret_passes() -> None:
    assert share_of_passes(lambda source, n: heavy(1.0, share=0.05)(source, n) / 20, 1600) == 1
