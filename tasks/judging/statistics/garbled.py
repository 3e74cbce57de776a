"""Whether an answer is garbled: one whose tokens are gross errors in a row, not here and there. Pure.

A share of gross errors that is small enough to be allowed says nothing about how they lie. An engine that
is wrong in one request of 1,000, and there in every token, has fewer of them than one that errs now and then,
and is broken all the same.

Invariants:
- Each token is scored after the engine's own tokens before it, so one unlikely token does not make the next
  one a gross error.
- So chance does not garble an answer: with gross errors in `p` of the tokens, independent of each other,
  `GARBLED_TOKENS` of `STRETCH_TOKENS` in a row are gross errors with a probability of about C(16, 8) p**8:
  5e-15 for p = 0.005. tests/unit/tasks/judging/statistics simulates errors that come in clusters, too.
- An answer of fewer than `GARBLED_TOKENS` tokens is never called garbled.
"""

from collections.abc import Sequence

STRETCH_TOKENS = 16
GARBLED_TOKENS = 8


def is_garbled(gross: Sequence[int]) -> bool:
    """Return whether gross errors at these indexes of one answer, in ascending order, garble it."""
    ends = zip(gross, gross[GARBLED_TOKENS - 1 :], strict=False)
    return any(last - first < STRETCH_TOKENS for first, last in ends)
