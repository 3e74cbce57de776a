"""Tokens that are not simply the likeliest ones, chosen by torch."""

import math
from collections import Counter
from typing import Any

import pytest
from support.engines.built import PROGRAMS, RunJob

pytestmark = pytest.mark.toolchain

TIMES = 2000
# Standard deviations that the shares of so many seeded choices may be off.
TOLERANCE = 4.0
LOGITS = [3.0, 2.0, 1.0, 0.5, 0.0, -1.0, -20.0]
# Flat: nearly as many tokens as there are share the probability, more than are sorted first.
FLAT = [-0.001 * token for token in range(1000)]
SLOPE = [-0.02 * token for token in range(1000)]

# By name: rows of logits and how their tokens are chosen.
ROWS: dict[str, list[dict[str, Any]]] = {
    "temperature": [
        {"logits": LOGITS, "sampling": {"temperature": heat, "seed": 1}} for heat in (1.0, 0.5, 2.0, 1e-4)
    ],
    "seed": [{"logits": LOGITS, "sampling": {"temperature": 1.0, "seed": seed}} for seed in (1, 2)],
    "cut": [
        {"logits": LOGITS, "sampling": {"temperature": 1.0, "seed": 1, **cut}}
        for cut in ({"top_k": 2}, {"top_p": 0.7}, {"min_p": 0.2}, {"top_k": 3, "top_p": 0.7}, {"top_p": 1e-9})
    ],
    "flat": [
        {"logits": FLAT, "sampling": {"temperature": 1.0, "seed": 1, **cut}}
        for cut in ({"top_p": 0.5}, {"top_k": 400}, {"top_k": 10, "top_p": 0.5})
    ],
    "slope": [{"logits": SLOPE, "sampling": {"temperature": 1.0, "seed": 1, "top_k": 300, "top_p": 0.95}}],
    "likeliest": [
        {"logits": LOGITS, "sampling": {"presence": 1.5}, "generated": [0, 0]},
        {"logits": LOGITS, "sampling": {"frequency": 0.75}, "generated": [0, 0]},
        {"logits": LOGITS, "sampling": {"frequency": 0.75}, "generated": [0]},
        {"logits": LOGITS, "sampling": {"repetition": 2.0}, "prompt": [0]},
        {"logits": [-1.0, -1.5, -4.0], "sampling": {"repetition": 2.0}, "prompt": [0, 0]},
        {"logits": LOGITS, "sampling": {"presence": 2.0}, "prompt": [0]},
        {"logits": LOGITS, "sampling": {"bias": {"5": 4.5}}},
        {"logits": LOGITS, "sampling": {"min_tokens": 2}, "ends": [0, 1], "generated": [4]},
        {"logits": LOGITS, "sampling": {"min_tokens": 2}, "ends": [0, 1], "generated": [4, 4]},
        {"logits": LOGITS, "sampling": {"temperature": 1.0, "seed": 3}},
    ],
}


@pytest.fixture(scope="module")
def chosen(job: RunJob) -> dict[str, list[list[int]]]:
    groups = {name: rows for name, rows in ROWS.items() if name != "likeliest"}
    # Rows of one case have equally many logits.
    alone = {f"likeliest {index}": [row] for index, row in enumerate(ROWS["likeliest"])}
    metrics = job(PROGRAMS / "sample_tokens.py", {"cases": {**groups, **alone}, "times": TIMES}).metrics
    return dict(metrics)


def probabilities(logits: list[float]) -> list[float]:
    weights = [math.exp(logit) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def assert_drawn(tokens: list[int], expected: list[float]) -> None:
    """Each token as often as its probability says, and never one without any."""
    counts = Counter(tokens)
    for token, share in enumerate(expected):
        deviation = math.sqrt(TIMES * share * (1 - share))
        assert abs(counts[token] - TIMES * share) <= TOLERANCE * deviation, token


def test_tokens_are_drawn_as_often_as_the_temperature_says(chosen: dict[str, list[list[int]]]) -> None:
    warm, cool, hot, freezing = chosen["temperature"]
    assert_drawn(warm, probabilities(LOGITS))
    assert_drawn(cool, probabilities([logit / 0.5 for logit in LOGITS]))
    assert_drawn(hot, probabilities([logit / 2 for logit in LOGITS]))
    assert set(freezing) == {0}


def test_a_seed_decides_the_tokens(chosen: dict[str, list[list[int]]]) -> None:
    assert chosen["seed"][0] == chosen["temperature"][0]
    assert chosen["seed"][0] != chosen["seed"][1]


def test_what_is_cut_never_comes_and_the_rest_keeps_its_proportions(
    chosen: dict[str, list[list[int]]],
) -> None:
    # .62 .23 .08 .05 .03 .01 0: two tokens for top-k 2 and top-p .7, and two have a fifth of the first's.
    of_two = [*probabilities(LOGITS[:2]), *[0.0] * 5]
    for tokens in chosen["cut"][:4]:
        assert_drawn(tokens, of_two)
    assert set(chosen["cut"][4]) == {0}


def test_a_long_tail_is_cut_where_it_has_to_be(chosen: dict[str, list[list[int]]]) -> None:
    half, best, few = chosen["flat"]
    kept = within(probabilities(FLAT), 0.5)
    assert 256 < kept - 10 < max(half) < kept
    assert 390 < max(best) < 400
    assert max(few) == 4


def test_top_p_counts_from_all_tokens_that_top_k_leaves(chosen: dict[str, list[list[int]]]) -> None:
    kept = within(probabilities(SLOPE[:300]), 0.95)
    # If the 256 that are sorted first were all that counted, three tokens less would remain.
    assert kept - 3 <= max(chosen["slope"][0]) < kept


def within(shares: list[float], limit: float) -> int:
    """How many of the likeliest tokens together reach a probability."""
    line = 0.0
    for kept, share in enumerate(shares):
        if line >= limit:
            return kept
        line += share
    return len(shares)


@pytest.mark.parametrize(
    ("index", "expected"),
    [(0, 1), (1, 1), (2, 0), (3, 1), (4, 1), (5, 0), (6, 5), (7, 2), (8, 0)],
    ids=["presence", "frequency twice", "frequency once", "repetition", "repetition of negative logits",
         "presence of the prompt", "bias", "too early to end", "late enough to end"],
)  # fmt: skip
def test_the_likeliest_token_after_penalties(
    chosen: dict[str, list[list[int]]], index: int, expected: int
) -> None:
    assert set(chosen[f"likeliest {index}"][0]) == {expected}
