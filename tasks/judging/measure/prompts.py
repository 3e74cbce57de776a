"""Prompts: new ones for speed, starts of held-out texts for accuracy. Pure; the seed decides.

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
from tasks.errors import TooLittleText
from tasks.judging.protocol import AccuracyPlan
from tasks.judging.vocabulary import Vocabulary

Prompt = tuple[int, ...]


HEAD_TOKENS = 4
"""Random ids in front of a window: with 32,000 ordinary ids, 10^18 different heads."""


class PromptText(Frozen):
    """The held-out texts as token ids, of which prompts are windows."""

    lead: Prompt = Field(description="What the tokenizer puts in front of every text.")
    ids: Prompt = Field(min_length=1, description="The ids of all texts, one after the other.")


class Window(Frozen):
    """The start of one held-out text, to be continued."""

    sample_id: str = Field(description="Index of the text.")
    prompt: Prompt = Field(description="Its first ids, after what the tokenizer puts in front of every text.")


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


def sample_windows(
    texts: Sequence[Sequence[int]], lead: Prompt, plan: AccuracyPlan, *, seed: int
) -> list[Window]:
    """Return the start of as many texts as declared, each of a length that the seed chooses.

    Lengths are uniform from `min_context_tokens` to `max_context_tokens`, `lead` included; a shorter text is
    the limit. There is one window per text, because bounds assume independent observations, and continuations
    of one text resemble each other.

    Raises `TooLittleText` if fewer texts have tokens.
    """
    samples = plan.gate.samples
    usable = [(index, ids) for index, ids in enumerate(texts) if lead or ids][:samples]
    if len(usable) < samples:
        raise TooLittleText(
            f"{len(usable)} of {len(texts)} held-out texts can be continued; {samples} are declared",
            where=f"validation.accuracy: {plan.gate.dataset or plan.gate.path}",
            fix="Declare fewer samples, or a dataset with more texts.",
        )
    source = generator(seed, "windows", 0)
    return [_window(index, (*lead, *ids), plan, source) for index, ids in usable]


def _window(index: int, ids: Prompt, plan: AccuracyPlan, source: random.Random) -> Window:
    longest = min(len(ids), plan.max_context_tokens)
    length = source.randint(min(plan.min_context_tokens, longest), longest)
    return Window(sample_id=str(index), prompt=ids[:length])


def generator(seed: int, purpose: str, index: int) -> random.Random:
    """Return the random stream of a (seed, purpose, index), the same on every host."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 (sampling, not secrecy)
