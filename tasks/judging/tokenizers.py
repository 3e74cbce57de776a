"""Whether both servers read text as the same token ids, and token ids as the same text."""

from collections.abc import Sequence

from tasks.errors import ServerBroke
from tasks.judging.client import CompletionsClient
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.results import TokenizerCheck
from tasks.judging.running import map_bounded

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
GENERATED_TOKENS = 12
TEXT_CHARACTERS = 200
UNFINISHED = "\ufffd"


async def check_tokenizer(
    asked: CompletionsClient, reference: CompletionsClient, texts: Sequence[str], plan: AccuracyPlan
) -> list[TokenizerCheck]:
    """Send fixed texts and the starts of held-out ones through both servers."""
    chosen = [*FIXED_TEXTS, *(text[:TEXT_CHARACTERS] for text in texts[: plan.round_trip_texts] if text)]

    async def check(text: str) -> TokenizerCheck:
        return await _check(asked, reference, text)

    return await map_bounded(check, chosen, parallel=plan.parallel_requests)


async def _check(asked: CompletionsClient, reference: CompletionsClient, text: str) -> TokenizerCheck:
    expected = await reference.tokenize(text)
    answer = await asked.complete(text, GENERATED_TOKENS)
    choice = answer["choices"][0]
    ids, generated = choice.get("prompt_token_ids", answer.get("prompt_token_ids")), choice.get("token_ids")
    if ids is None or generated is None:
        raise ServerBroke(
            f"The answer holds no prompt_token_ids: {str(answer)[:300]}",
            where=f"{asked.endpoint.base_url} ({asked.endpoint.side.name})",
            fix="The server must honour return_token_ids.",
        )
    read_back = await reference.detokenize([*ids, *generated]) if generated else ""
    same_text = reads_as(read_back, choice["text"])
    return TokenizerCheck(
        text=text[:60],
        same_ids=ids == expected,
        same_text=same_text,
        detail=_detail(ids, expected, choice["text"], read_back, same_text=same_text),
    )


def reads_as(read_back: str, generated: str) -> bool:
    """Whether `generated` is how the whole text ends.

    A character whose bytes are not complete yet reads as U+FFFD, which one server shows and another holds
    back; an end token may be written out by /detokenize and left out of a completion.
    """
    return generated.rstrip(UNFINISHED) in read_back


def _detail(ids: list[int], expected: list[int], generated: str, read_back: str, *, same_text: bool) -> str:
    parts = []
    if ids != expected:
        parts.append(f"token ids {ids[:8]}... where the reference has {expected[:8]}...")
    if not same_text:
        parts.append(f"text {generated[:40]!r} where the reference reads {read_back[-40:]!r}")
    return "; ".join(parts)
