"""A garbled answer is one that errs in a row; noise does not make one, not even in clusters."""

from collections.abc import Iterable

import numpy as np
import pytest

from tasks.judging.statistics.garbled_answers import (
    GROSS_NATS,
    GROSS_TOKENS,
    HOPELESS_NATS,
    STRETCH_TOKENS,
    is_garbled,
)

HALF, WHOLE = GROSS_TOKENS, STRETCH_TOKENS
BARELY = GROSS_NATS + 0.01


def at(places: Iterable[int], nats: float = BARELY) -> list[tuple[int, float]]:
    return [(place, nats) for place in places]


@pytest.mark.parametrize(
    ("regrets", "garbled"),
    [
        ([], False),
        (at(range(HALF - 1)), False),
        (at(range(HALF)), True),
        (at(range(100, 100 + HALF)), True),
        (at(range(0, WHOLE, 2)), True),
        (at((0, *range(WHOLE - HALF + 1, WHOLE))), True),
        (at((0, *range(WHOLE - HALF + 2, WHOLE + 1))), False),
        (at(range(0, 1000, 3)), False),
        (at(range(1000), GROSS_NATS), False),
    ],
)
def test_half_of_the_tokens_of_a_stretch_garble_an_answer(
    regrets: list[tuple[int, float]], garbled: bool
) -> None:
    assert is_garbled(regrets) is garbled


def test_an_answer_that_repeats_itself_is_garbled_though_it_soon_explains_itself() -> None:
    """As the demo's model finds `!!!!!!!!`: once repeated, it is what it expects."""
    assert is_garbled(list(enumerate((9.1, 6.6, 2.9, 0.4))))
    assert is_garbled([(0, 12.0), (WHOLE - 1, 7.0)])
    assert not is_garbled([(0, 12.0), (WHOLE, 7.0)])
    assert not is_garbled([(0, 12.0), (1, HOPELESS_NATS)])


def test_no_single_token_garbles_an_answer() -> None:
    """Such as a token after an end, where a server that was asked to go on never chooses the end token."""
    assert not is_garbled(at(range(0, 400, WHOLE), 40.0))


@pytest.mark.parametrize("lasts", [0.0, 0.3], ids=["independent", "in clusters"])
def test_an_engine_with_as_many_gross_errors_as_allowed_garbles_no_answer(lasts: float) -> None:
    """A million tokens, of which 0.5 % are gross errors, as many as the demo allows, of about 2.5 nats."""
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
    nats = GROSS_NATS + source.exponential(0.5, (texts, tokens))
    answers = [
        [(int(at), float(own[at])) for at in np.flatnonzero(row)]
        for row, own in zip(gross, nats, strict=True)
    ]
    assert not any(map(is_garbled, answers))
