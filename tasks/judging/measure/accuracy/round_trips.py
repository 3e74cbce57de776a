"""Whether both servers map text to the same token ids and back, and write the same when they are timed.

A server that returns token ids instead of text is asked twice, once for each, and does not return the
prompt's ids. Then, only the number of tokens of the prompt is compared, and the generated ids with the text.
"""

from collections.abc import Sequence
from functools import partial

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.measure.accuracy.windows import Window
from tasks.judging.measure.completions import (
    CompletionsClient,
    generated_ids,
    generated_text,
    map_bounded,
    prompt_ids,
    prompt_tokens,
)
from tasks.judging.measure.prompts import Prompt, generator
from tasks.judging.protocol import ROUND_TRIP_ANSWER_TOKENS, AccuracyPlan, JudgingProtocol
from tasks.judging.results import TokenizerCheck

# Accents, combining marks, several scripts, right-to-left, emoji with joiners, odd white space: where
# tokenizers and their normalizers usually differ.
FIXED_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Größe, naïve café, œuvre, Ångström",
    "e\u0301 against \u00e9; \ufb01 against fi",
    "日本語のテキストと、한국어 문장, 中文句子。",
    "Привет, мир! Ελληνικά. שלום עולם. مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🏳️‍🌈 family and flag",
    "  leading, trailing and\ttabs\n\n  and lines  ",
    "def f(x):\n    return {'a': [1.5e-3, -2]}  # code",
)
# More than the average of tokenizers on any script; what is too long is cut by the reference's count.
CHARACTERS_PER_TOKEN = 8
TEXT_CHARACTERS = 200
UNFINISHED = "\ufffd"
# The greedy answers to two equal requests may differ if two tokens are almost equally likely; a tokenizer
# that differs does so each time.
SEPARATE_ATTEMPTS = 3
# Longer streams are made with one request in flight, so they are not compared beyond this.
STREAMED_TOKENS = 64


class RoundTrip(Frozen):
    """A text, and its ids by the reference."""

    text: str
    ids: tuple[int, ...]


class Reading(Frozen):
    """A text as a side reads it, and its continuation as ids and as text."""

    prompt_ids: tuple[int, ...] | None = Field(
        description="The ids of the text; None if the side does not return them."
    )
    prompt_tokens: int = Field(ge=0, description="Their number.")
    generated: tuple[int, ...] = Field(description="The ids of its continuation.")
    text: str = Field(description="The continuation as text.")


async def round_trips_of(
    reference: CompletionsClient, texts: Sequence[str], protocol: JudgingProtocol
) -> list[RoundTrip]:
    """Return the fixed texts, the starts of held-out texts, the vocabulary, and one text as long as can be.

    Each is cut to fit, as an engine takes no longer prompts than it was compiled for.
    """
    plan, parallel = protocol.accuracy, max(protocol.accuracy.in_flight)
    starts = [text[:TEXT_CHARACTERS] for text in texts[: plan.round_trip_texts] if text]
    spelled = await map_bounded(reference.detokenize, vocabulary_parts(protocol), parallel=parallel)
    chosen = [*FIXED_TEXTS, *starts, *spelled, long_text(texts, plan.round_trip_tokens)]
    fit = partial(_fitting, reference, longest=plan.round_trip_tokens)
    return await map_bounded(fit, chosen, parallel=parallel)


def vocabulary_parts(protocol: JudgingProtocol) -> list[Prompt]:
    """Return the ordinary ids in an order by lot, in parts that make texts.

    Held-out texts have few of the ids of a vocabulary, and an engine may read just one of the others
    otherwise. The tokens of a text may be more than the ids that it was spelled by, so a part takes half of
    the room.
    """
    plan, vocabulary = protocol.accuracy, protocol.vocabulary
    special, size = set(vocabulary.special_ids), max(1, plan.round_trip_tokens // 2)
    ids = [token for token in range(vocabulary.size) if token not in special]
    generator(protocol.seed, "vocabulary", 0).shuffle(ids)
    parts = [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]
    return parts[: plan.vocabulary_texts]


async def _fitting(reference: CompletionsClient, text: str, *, longest: int) -> RoundTrip:
    """Return the start of a text, with at most `longest` tokens."""
    ids = await reference.tokenize(text)
    while len(ids) > longest and text:
        text = text[: len(text) * longest // len(ids)]
        ids = await reference.tokenize(text)
    return RoundTrip(text=text, ids=tuple(ids))


def long_text(texts: Sequence[str], tokens: int) -> str:
    """Join held-out texts, repeatedly if needed, to enough characters for this many tokens."""
    characters = tokens * CHARACTERS_PER_TOKEN
    joined = "\n".join(text for text in texts if text)
    return (joined * (characters // max(1, len(joined)) + 1))[:characters]


async def read_texts(
    asked: CompletionsClient, round_trips: Sequence[RoundTrip], plan: AccuracyPlan
) -> list[tuple[Reading, ...]]:
    """Read every text with a side; several times if ids and text need separate requests."""
    separate = asked.endpoint.side.serve.generated_ids == "instead-of-text"

    async def read(one: RoundTrip) -> tuple[Reading, ...]:
        return tuple([await _read(asked, one.text) for _ in range(SEPARATE_ATTEMPTS if separate else 1)])

    return await map_bounded(read, round_trips, parallel=max(plan.in_flight))


async def _read(asked: CompletionsClient, text: str) -> Reading:
    endpoint = asked.endpoint
    answer = await asked.complete(text, ROUND_TRIP_ANSWER_TOKENS)
    ids = tuple(generated_ids(answer, endpoint))
    if endpoint.side.serve.generated_ids == "with-text":
        prompt = tuple(prompt_ids(answer, endpoint))
        written = generated_text(answer, endpoint)
        return Reading(prompt_ids=prompt, prompt_tokens=len(prompt), generated=ids, text=written)
    counted = prompt_tokens(answer, endpoint)
    separate = await asked.complete_text(text, ROUND_TRIP_ANSWER_TOKENS)
    written = generated_text(separate, endpoint)
    return Reading(prompt_ids=None, prompt_tokens=counted, generated=ids, text=written)


async def compare_readings(
    reference: CompletionsClient,
    round_trips: Sequence[RoundTrip],
    readings: Sequence[tuple[Reading, ...]],
    *,
    special_ids: Sequence[int],
    parallel: int,
) -> list[TokenizerCheck]:
    """Compare what the reference decodes from a side's ids with what the side wrote; one check per text.

    Special tokens have no text in an answer, wherever they are, but /detokenize writes them by name.
    """
    special = frozenset(special_ids)

    async def compare(one: tuple[RoundTrip, tuple[Reading, ...]]) -> TokenizerCheck:
        round_trip, attempts = one
        for attempt in attempts:
            check = await _compare(reference, round_trip, attempt, special)
            if check.same_text:
                break
        return check

    return await map_bounded(compare, zip(round_trips, readings, strict=True), parallel=parallel)


async def _compare(
    reference: CompletionsClient, round_trip: RoundTrip, reading: Reading, special: frozenset[int]
) -> TokenizerCheck:
    prompt = round_trip.ids if reading.prompt_ids is None else reading.prompt_ids
    ordinary = [token for token in reading.generated if token not in special]
    read_back = await reference.detokenize([*prompt, *ordinary]) if ordinary else ""
    same_text = reads_as(read_back, reading.text)
    differing_ids = _differing_ids(reading, round_trip.ids)
    differing_text = f"text {reading.text[:40]!r}, but the reference reads {read_back[-40:]!r}"
    return TokenizerCheck(
        text=round_trip.text[:60],
        same_ids=not differing_ids,
        same_text=same_text,
        detail="; ".join(filter(None, (differing_ids, "" if same_text else differing_text))),
    )


def _differing_ids(reading: Reading, expected: tuple[int, ...]) -> str:
    """Say how a side reads a text differently from the reference; empty if it does not."""
    if reading.prompt_ids is None and reading.prompt_tokens != len(expected):
        return f"{reading.prompt_tokens} tokens, but the reference has {len(expected)}"
    if reading.prompt_ids not in (None, expected):
        found, wanted = [*reading.prompt_ids[:8]], [*expected[:8]]
        return f"token ids {found}..., but the reference has {wanted}..."
    return ""


def reads_as(read_back: str, generated: str) -> bool:
    """Whether the text that was read back contains `generated`.

    A character whose bytes are incomplete reads as U+FFFD, which one server returns and another holds back.
    """
    return generated.rstrip(UNFINISHED) in read_back


async def check_streams(asked: CompletionsClient, windows: Sequence[Window]) -> list[TokenizerCheck]:
    """Compare what a side streams in timed requests with what it writes in untimed ones.

    Accuracy is measured on untimed requests, with token ids; timed rounds stream text without ids. There is
    one request at a time: others in the same batch would change the rounding of an answer, and sometimes its
    words.
    """
    return [await _check_stream(asked, window) for window in windows]


async def _check_stream(asked: CompletionsClient, window: Window) -> TokenizerCheck:
    prompt, count = window.prompt, min(window.continuation_tokens, STREAMED_TOKENS)
    for _ in range(SEPARATE_ATTEMPTS):
        untimed = await _untimed_text(asked, prompt, count)
        streamed = (await asked.stream(prompt, count)).read(may_be_short=True).text
        if same := streamed.rstrip(UNFINISHED) == untimed.rstrip(UNFINISHED):
            break
    found = f"streamed as in timed rounds {streamed[:40]!r}, otherwise {untimed[:40]!r}"
    return TokenizerCheck(text=untimed[:60], same_ids=True, same_text=same, detail="" if same else found)


async def _untimed_text(asked: CompletionsClient, prompt: Prompt, count: int) -> str:
    if asked.endpoint.side.serve.generated_ids == "with-text":
        return (await asked.stream_ids(prompt, count)).read(may_be_short=True).text
    written = await asked.complete_text(prompt, count, ignore_eos=True)
    return generated_text(written, asked.endpoint)
