"""A garbled answer is one that errs in a row; chance does not make one, not even in clusters."""

import numpy as np
import pytest

from tasks.judging.statistics import GARBLED_TOKENS, STRETCH_TOKENS, is_garbled

HALF, WHOLE = GARBLED_TOKENS, STRETCH_TOKENS


@pytest.mark.parametrize(
    ("gross", "garbled"),
    [
        ((), False),
        (range(HALF - 1), False),
        (range(HALF), True),
        (range(100, 100 + HALF), True),
        (range(0, WHOLE, 2), True),
        ((0, *range(WHOLE - HALF + 1, WHOLE)), True),
        ((0, *range(WHOLE - HALF + 2, WHOLE + 1)), False),
        (range(0, 1000, 3), False),
    ],
)
def test_half_of_the_tokens_of_a_stretch_garble_an_answer(gross: tuple[int, ...], garbled: bool) -> None:
    assert is_garbled(tuple(gross)) is garbled


@pytest.mark.parametrize("lasts", [0.0, 0.3], ids=["independent", "in clusters"])
def test_an_engine_with_as_many_gross_errors_as_allowed_garbles_no_answer(lasts: float) -> None:
    """A million tokens, of which 0.5 % are gross errors, as many as the demo allows."""
    source = np.random.default_rng(3)
    texts, tokens, share = 4000, 256, 0.005
    begins, goes_on = (
        source.random((texts, tokens)) < share * (1 - lasts),
        source.random((texts, tokens)) < lasts,
    )
    gross = np.zeros((texts, tokens), dtype=bool)
    gross[:, 0] = begins[:, 0]
    for place in range(1, tokens):
        gross[:, place] = np.where(
            gross[:, place - 1], goes_on[:, place] | begins[:, place], begins[:, place]
        )
    assert gross.mean() == pytest.approx(share, rel=0.1)
    assert not any(is_garbled(np.flatnonzero(row).tolist()) for row in gross)
