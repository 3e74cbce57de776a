"""From the text of a timed answer to its tokens, by the reference's own tokenizer.

Text does not fix tokens: other tokens may spell the same, special tokens have no text, and bytes that are no
character are written in different ways. So the ids that the side gave for the same request count as far as
they spell the timed text, and only the rest is tokenized. Characters that could not be read (U+FFFD) are left
out on both sides.
"""

from collections.abc import Sequence
from itertools import takewhile

from tasks.judging.measure.completions import CompletionsClient
from tasks.judging.measure.timed_answers.second_answers import SecondAnswer

UNREADABLE = "\ufffd"
# Enough tokens before an answer for a decoder to know how they join.
CONTEXT_TOKENS = 8


def readable(text: str) -> str:
    """Return a text without characters that stand for unreadable bytes."""
    return text.replace(UNREADABLE, "")


class Speller:
    """Reads answers with the reference's tokenizer.

    Args:
        reference: a vLLM server.
        special_ids: ids that have no text in an answer.
    """

    def __init__(self, reference: CompletionsClient, special_ids: Sequence[int]) -> None:
        self._reference = reference
        self._special = frozenset(special_ids)

    async def count(self, text: str) -> int:
        """Return the number of tokens that the reference reads in a text."""
        return len(await self._tokens(readable(text)))

    async def tokens(self, answer: SecondAnswer) -> tuple[bool, tuple[int, ...]]:
        """Return whether the timed text is that of the later ids, and the ids of the timed text."""
        text, prompt = readable(answer.timed.text), answer.timed.prompt
        if await self._spell(prompt, answer.again) == text:
            return True, answer.again
        agreed = await self._agreed(prompt, answer.again, text)
        same = answer.again[:agreed]
        rest = text[len(await self._spell(prompt, same)) :]
        return False, (*same, *await self._read_on((*prompt, *same), rest))

    async def _agreed(self, prompt: Sequence[int], ids: Sequence[int], text: str) -> int:
        """Return how many of the first ids spell a start of the text; a search by halves."""
        fits, fails = 0, len(ids) + 1
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if text.startswith(await self._spell(prompt, ids[:middle])):
                fits = middle
            else:
                fails = middle
        return fits

    async def _spell(self, context: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of ids after a context."""
        before = self._ordinary(context)[-CONTEXT_TOKENS:]
        base = (await self._text(before)).rstrip(UNREADABLE)
        full = await self._text([*before, *self._ordinary(ids)])
        common = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(base, full, strict=False)))
        return readable(full[common:])

    async def _read_on(self, context: Sequence[int], text: str) -> list[int]:
        """Return the ids of a text after a context, as they are when both are read together."""
        if not text:
            return []
        anchor = readable(await self._text(self._ordinary(context)[-CONTEXT_TOKENS:]))
        before, together = await self._tokens(anchor), await self._tokens(anchor + text)
        return together[len(before) :]

    async def _text(self, ids: Sequence[int]) -> str:
        return await self._reference.detokenize(ids) if ids else ""

    async def _tokens(self, text: str) -> list[int]:
        return await self._reference.tokenize(text, special_tokens=False) if text else []

    def _ordinary(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token not in self._special]
