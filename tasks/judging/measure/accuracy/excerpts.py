"""The worst departures as text, by the reference's own tokenizer: only its server can decode.

A token is decoded together with the text before it, because a decoder joins neighbours: alone, a token may
lack the space in front of it, or be a part of a character.
"""

from collections.abc import Sequence
from itertools import takewhile

from tasks.judging.measure.accuracy.answers import Continuation
from tasks.judging.measure.completions import CompletionsClient, map_bounded
from tasks.judging.results import Departure, Excerpt, RegretSample

# As many as a person reads; errors beyond the cap come first.
EXCERPTS = 12
# About two lines of text.
TOKENS_BEFORE = 32
Found = tuple[Departure, RegretSample, Continuation]


async def excerpts_of(
    reference: CompletionsClient,
    continued: Sequence[Continuation],
    samples: Sequence[RegretSample],
    *,
    parallel: int,
) -> tuple[Excerpt, ...]:
    """Return the departures of largest regret as text; the samples are those of the continuations.

    Raises:
        ServerBroke: the reference does not decode.
    """
    found = [
        (departure, sample, continuation)
        for continuation, sample in zip(continued, samples, strict=True)
        for departure in sample.departures
    ]
    worst = sorted(found, key=lambda one: -one[0].regret_nats)[:EXCERPTS]

    async def decode(one: Found) -> Excerpt:
        return await _excerpt(reference, *one)

    return tuple(await map_bounded(decode, worst, parallel=parallel))


async def _excerpt(
    reference: CompletionsClient, departure: Departure, sample: RegretSample, continuation: Continuation
) -> Excerpt:
    read = [*continuation.window.prompt, *continuation.tokens[: departure.index]][-TOKENS_BEFORE:]
    before = await reference.detokenize(read)
    engine, best = [
        _rest(before, await reference.detokenize([*read, token]))
        for token in (departure.engine_token, departure.reference_token)
    ]
    return Excerpt(
        sample_id=sample.sample_id,
        context_tokens=sample.context_tokens,
        departure=departure,
        before=before,
        engine_text=engine,
        reference_text=best,
    )


def _rest(before: str, text: str) -> str:
    """Return what a text adds to the one before it; a character that it completes counts as added."""
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(before, text, strict=False))
    return text[sum(1 for _ in equal) :]
