"""Whether both servers read text as the same token ids, and token ids as the same text; and whether the
engine writes the same where it is timed.

A server that gives token ids instead of text is asked twice, once for each, and does not name the prompt's
ids: of the prompt only the number of tokens is compared, and that the generated ids are read as its text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.judging.measure.completions.answers import generated_ids, generated_text, prompt_ids, prompt_tokens
from tasks.judging.measure.completions.client import CompletionsClient
from tasks.judging.measure.completions.concurrency import map_bounded
from tasks.judging.measure.prompts import Prompt
from tasks.judging.protocol import ROUND_TRIP_ANSWER_TOKENS, AccuracyPlan
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
# More than tokenizers average on any script; what is too much is cut by the reference's own count.
CHARACTERS_PER_TOKEN = 8
TEXT_CHARACTERS = 200
UNFINISHED = "\ufffd"
# Of two requests a greedy answer may differ where two tokens are nearly as likely; a tokenizer that differs
# does so each time.
SEPARATE_ATTEMPTS = 3


async def check_tokenizer(
    asked: CompletionsClient, reference: CompletionsClient, texts: Sequence[str], plan: AccuracyPlan
) -> list[TokenizerCheck]:
    """Send fixed texts, the starts of held-out ones and one as long as the engine takes through both servers.

    Of each as much is sent as fits: an engine takes no longer prompt than it was compiled for.
    """
    starts = [text[:TEXT_CHARACTERS] for text in texts[: plan.round_trip_texts] if text]
    chosen = [*FIXED_TEXTS, *starts, long_text(texts, plan.round_trip_tokens)]

    async def check(text: str) -> TokenizerCheck:
        start, ids = await _fitting(reference, text, plan.round_trip_tokens)
        return await _check(asked, reference, start, ids)

    return await map_bounded(check, chosen, parallel=max(plan.in_flight))


async def check_streams(
    asked: CompletionsClient, prompts: Sequence[Prompt], plan: AccuracyPlan
) -> list[TokenizerCheck]:
    """Ask prompts as timed rounds ask them, for streamed text without ids, and compare what comes with what
    is written where nothing is timed: that is what accuracy is measured on.

    One request at a time: others beside it would change the rounding of an answer, and sometimes its words.
    """
    return [await _check_stream(asked, prompt, plan.continuation_tokens) for prompt in prompts]


async def _check_stream(asked: CompletionsClient, prompt: Prompt, count: int) -> TokenizerCheck:
    for _ in range(SEPARATE_ATTEMPTS):
        untimed = await _untimed_text(asked, prompt, count)
        streamed = (await asked.stream(prompt, count)).read().text
        if same := streamed.rstrip(UNFINISHED) == untimed.rstrip(UNFINISHED):
            break
    found = f"streamed as in timed rounds {streamed[:40]!r}, otherwise {untimed[:40]!r}"
    return TokenizerCheck(text=untimed[:60], same_ids=True, same_text=same, detail="" if same else found)


async def _untimed_text(asked: CompletionsClient, prompt: Prompt, count: int) -> str:
    if asked.endpoint.side.recipe.generated_ids == "beside-text":
        return (await asked.stream_ids(prompt, count)).read().text
    written = await asked.complete_text(prompt, count, ignore_eos=True)
    return generated_text(written, asked.endpoint)


def long_text(texts: Sequence[str], tokens: int) -> str:
    """Held-out texts in a row, and again, with enough characters for so many tokens."""
    characters = tokens * CHARACTERS_PER_TOKEN
    joined = "\n".join(text for text in texts if text)
    return (joined * (characters // max(1, len(joined)) + 1))[:characters]


@dataclass(frozen=True, slots=True)
class _Said:
    """One text by the asked server: its ids, or their number alone, and a continuation both ways."""

    prompt: list[int] | int
    generated: list[int]
    text: str


async def _fitting(reference: CompletionsClient, text: str, longest: int) -> tuple[str, list[int]]:
    """The start of a text that has at most `longest` tokens, and these."""
    ids = await reference.tokenize(text)
    while len(ids) > longest and text:
        text = text[: len(text) * longest // len(ids)]
        ids = await reference.tokenize(text)
    return text, ids


async def _check(
    asked: CompletionsClient, reference: CompletionsClient, text: str, expected: list[int]
) -> TokenizerCheck:
    separate = asked.endpoint.side.recipe.generated_ids == "instead-of-text"
    check = await _compare(asked, reference, text, expected)
    for _ in range(SEPARATE_ATTEMPTS - 1 if separate else 0):
        if check.same_text:
            break
        check = await _compare(asked, reference, text, expected)
    return check


async def _compare(
    asked: CompletionsClient, reference: CompletionsClient, text: str, expected: list[int]
) -> TokenizerCheck:
    said = await _ask(asked, text)
    prompt = expected if isinstance(said.prompt, int) else said.prompt
    read_back = await reference.detokenize([*prompt, *said.generated]) if said.generated else ""
    same_text = reads_as(read_back, said.text)
    return TokenizerCheck(
        text=text[:60],
        same_ids=said.prompt in (expected, len(expected)),
        same_text=same_text,
        detail=_detail(said, expected, read_back, same_text=same_text),
    )


async def _ask(asked: CompletionsClient, text: str) -> _Said:
    endpoint = asked.endpoint
    answer = await asked.complete(text, ROUND_TRIP_ANSWER_TOKENS)
    ids = generated_ids(answer, endpoint)
    if endpoint.side.recipe.generated_ids == "beside-text":
        return _Said(prompt_ids(answer, endpoint), ids, generated_text(answer, endpoint))
    written = await asked.complete_text(text, ROUND_TRIP_ANSWER_TOKENS)
    return _Said(prompt_tokens(answer, endpoint), ids, generated_text(written, endpoint))


def reads_as(read_back: str, generated: str) -> bool:
    """Whether `generated` is how the whole text ends.

    A character whose bytes are not complete yet reads as U+FFFD, which one server shows and another holds
    back; an end token may be written out by /detokenize and left out of a completion.
    """
    return generated.rstrip(UNFINISHED) in read_back


def _detail(said: _Said, expected: list[int], read_back: str, *, same_text: bool) -> str:
    parts = []
    if isinstance(said.prompt, int):
        if said.prompt != len(expected):
            parts.append(f"{said.prompt} tokens where the reference has {len(expected)}")
    elif said.prompt != expected:
        parts.append(f"token ids {said.prompt[:8]}... where the reference has {expected[:8]}...")
    if not same_text:
        parts.append(f"text {said.text[:40]!r} where the reference reads {read_back[-40:]!r}")
    return "; ".join(parts)
