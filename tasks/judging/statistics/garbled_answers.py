"""Whether an answer is garbled: its errors lie in a row, not here and there. Pure.

A share of gross errors that is small enough to be allowed says nothing about how they lie. An engine that
is wrong in one request of 1,000, and there in every token, has fewer of them than one that errs now and then,
and is broken all the same.

Why not count gross errors alone? Each token is scored after the engine's own tokens before it, so an answer
that repeats itself soon explains itself: of `!!!!!!!!` the reference finds the first tokens hopeless and the
others likely. Of 200 answers of the demo's model that consist of `!`, 4 % have 8 gross errors in 16 tokens,
and 62 % are garbled with the hopeless ones; of answers to other prompts, 42 % and 87 %.

Invariants:
- Noise garbles no answer. Each token is scored after the engine's own tokens, so one unlikely token does not
  make the next one a gross error, and noise moves a choice only to a token that is nearly as likely: of two
  4-bit copies of the demo's model, at .014 and .018 nats per token, no regret exceeds 4.3 in 96,000 tokens
  each, and no stretch holds more than two gross errors. tests/unit/tasks/judging/statistics simulates errors
  in clusters, too.
- No single token garbles an answer.
- The limits are not declared: a spec that calls less a gross error does not call noise a fault.
"""

from collections.abc import Sequence

STRETCH_TOKENS = 16
GROSS_NATS, GROSS_TOKENS = 2.0, 8
"""Half of a stretch, each 7 times less likely than the reference's own choice."""
HOPELESS_NATS, HOPELESS_TOKENS = 6.0, 2
"""More than one in a stretch, each 400 times less likely."""

GARBLED = (
    f"of {STRETCH_TOKENS} tokens in a row, {GROSS_TOKENS} or more have a regret of more than {GROSS_NATS:g} "
    f"nats, or {HOPELESS_TOKENS} or more one of more than {HOPELESS_NATS:g}"
)
"""What a garbled answer is, as part of a sentence."""


def is_garbled(regrets: Sequence[tuple[int, float]]) -> bool:
    """Return whether these tokens garble an answer: the index of each, ascending, and its regret in nats."""
    return has_gross_stretch(regrets) or _crowded(regrets, HOPELESS_NATS, HOPELESS_TOKENS)


def has_gross_stretch(regrets: Sequence[tuple[int, float]]) -> bool:
    """Return whether half of a stretch are gross errors: it is garbled whichever single tokens are in doubt.

    Takes the index of each, ascending, and its regret in nats.
    """
    return _crowded(regrets, GROSS_NATS, GROSS_TOKENS)


def _crowded(regrets: Sequence[tuple[int, float]], beyond: float, count: int) -> bool:
    """Return whether one stretch holds so many tokens with a regret beyond this."""
    indexes = [index for index, nats in regrets if nats > beyond]
    ends = zip(indexes, indexes[count - 1 :], strict=False)
    return any(last - first < STRETCH_TOKENS for first, last in ends)
