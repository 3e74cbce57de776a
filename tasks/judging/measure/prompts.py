"""Prompts of timed rounds: windows of held-out texts, or random ids. Pure; the seed decides.

Prompts of timed rounds are windows of the held-out texts, as users send text and models answer it with text:
on random ids, which are the other kind, they fall into repetition. Each (seed, purpose, round) has its own
random stream. A window begins with a head of random ids, behind what the tokenizer puts in front of every
text, so no two prompts have a start in common, and no prefix cache can answer instead of the model.
"""

import hashlib
import random
from collections.abc import Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.vocabulary import Vocabulary

Prompt = tuple[int, ...]


HEAD_TOKENS = 4
"""Random ids in front of a window: with 32,000 ordinary ids, 10^18 different heads."""


class PromptText(Frozen):
    """The held-out texts as token ids, of which prompts are windows."""

    lead: Prompt = Field(description="What the tokenizer puts in front of every text.")
    ids: Prompt = Field(min_length=1, description="The ids of all texts, one after the other.")


def new_prompts(
    vocabulary: Vocabulary,
    text: PromptText | None,
    *,
    seed: int,
    purpose: str,
    index: int,
    count: int,
    length: int,
) -> list[Prompt]:
    """Return `count` prompts of `length` ids for one round, given by (seed, purpose, index).

    They are windows of the text; if there is none, random ids.
    """
    special = set(vocabulary.special_ids)
    ordinary = [token for token in range(vocabulary.size) if token not in special]
    source = generator(seed, purpose, index)
    if text is None:
        return [tuple(source.choices(ordinary, k=length)) for _ in range(count)]
    return [_window_of(text, ordinary, length, source) for _ in range(count)]


def _window_of(text: PromptText, ordinary: Sequence[int], length: int, source: random.Random) -> Prompt:
    """Return a window behind a head; the text begins again at its end. Short prompts are mostly head."""
    lead = text.lead[: max(0, length - HEAD_TOKENS)]
    head = tuple(source.choices(ordinary, k=min(HEAD_TOKENS, length)))
    begin = source.randrange(len(text.ids))
    rest = length - len(lead) - len(head)
    return (*lead, *head, *(text.ids[(begin + place) % len(text.ids)] for place in range(rest)))


def generator(seed: int, purpose: str, index: int) -> random.Random:
    """Return the random stream of a (seed, purpose, index), the same on every host."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 (sampling, not secrecy)
