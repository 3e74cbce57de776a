"""Where answers end after the same tokens: a token that was chosen is not a fault of stopping."""

from collections.abc import Sequence

import pytest

from tasks.judging.measure.accuracy.scores import _compare_ends

END, ENDS = 9, frozenset({9})


@pytest.mark.parametrize(
    ("engine", "reference", "scored", "end"),
    [
        ((1, 2, END), (1, 2, END), (1, 2, END, 4), "alike"),
        ((1, 2), (1, 2, END), (1, 2, END, 4), "alike"),
        ((1, 2, END), (1, 2, 3, 4), (1, 2, END, 4), "apart"),
        # As the row above, from a server that leaves the end token out.
        ((1, 2), (1, 2, 3, 4), (1, 2, END, 4), "apart"),
        ((1, 2), (1, 2, 3, 4), (1, 2, 3, 4), "early"),
        ((1, 2), (1, 2, 3, 4), (1, 2), "early"),
        ((1, 2), (1, 2, 3, 4), (5, 6, END), "early"),
        ((1, 2, 3, 4), (1, 2), (1, 2, 3, 4), "late"),
    ],
)
def test_an_end_that_the_model_chose_is_a_token_like_others(
    engine: Sequence[int], reference: Sequence[int], scored: Sequence[int], end: str
) -> None:
    assert _compare_ends(engine, reference, ENDS, scored) == end
