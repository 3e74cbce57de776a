"""Prompts: fresh random ones for speed, windows of held-out text for accuracy. Pure, decided by the seed
alone.

Random prompts are uniform over the ordinary token ids, drawn from a stream of their own for every (seed,
purpose, round). With 64 bits of seed per round and prompts of many tokens no two are equal, so no prefix
cache can answer for the model.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import TooLittleText
from tasks.judging.protocol import AccuracyPlan, Vocabulary

Prompt = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of held-out text.

    Attributes:
        sample_id: index of the text and of its first token there, such as `3:256`.
        lead: ids that the tokenizer puts in front of every text (a begin-of-text id, or nothing).
        tokens: the ids of the window.
        position: the engine is asked for the token at this index; what precedes it is the prompt.
    """

    sample_id: str
    lead: Prompt
    tokens: Prompt
    position: int

    @property
    def prompt(self) -> Prompt:
        """What both sides are given."""
        return self.lead + self.tokens[: self.position]


def random_prompts(
    vocabulary: Vocabulary, *, seed: int, purpose: str, index: int, count: int, length: int
) -> list[Prompt]:
    """`count` prompts of `length` ids for one round; another (seed, purpose, index) gives entirely other
    prompts.
    """
    special = set(vocabulary.special_ids)
    ordinary = [token for token in range(vocabulary.size) if token not in special]
    source = generator(seed, purpose, index)
    return [tuple(source.choices(ordinary, k=length)) for _ in range(count)]


def sample_windows(
    texts: Sequence[Sequence[int]], lead: Prompt, plan: AccuracyPlan, *, count: int, seed: int
) -> list[Window]:
    """`count` disjoint windows out of tokenized texts, in an order and at positions decided by the seed.

    Raises `TooLittleText` where the texts hold fewer windows.
    """
    size, least = plan.window_tokens, plan.min_context_tokens + 1
    starts = [
        (text, start) for text, ids in enumerate(texts) for start in range(0, len(ids) - least + 1, size)
    ]
    if len(starts) < count:
        raise TooLittleText(
            f"The held-out text gives {len(starts)} windows of "
            f"{least} to {size} tokens; {count} are declared",
            where=f"validation.accuracy: {plan.gate.dataset or plan.gate.path}",
            fix="Declare fewer samples, or a dataset with more text.",
        )
    source = generator(seed, "windows", 0)
    return [
        _window(texts[text], text, start, lead, plan, source) for text, start in source.sample(starts, count)
    ]


def _window(
    ids: Sequence[int], text: int, start: int, lead: Prompt, plan: AccuracyPlan, source: random.Random
) -> Window:
    tokens = tuple(ids[start : start + plan.window_tokens])
    position = source.randrange(plan.min_context_tokens, len(tokens))
    return Window(sample_id=f"{text}:{start}", lead=lead, tokens=tokens, position=position)


def generator(seed: int, purpose: str, index: int) -> random.Random:
    """A random stream of its own for every (seed, purpose, index), the same on every host."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 (sampling, not secrecy)


def vocabulary_of(tokenizer: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary that a checkpoint's `tokenizer.json` (Hugging Face tokenizers format) declares."""
    added: list[dict[str, Any]] = tokenizer.get("added_tokens", [])
    special = sorted(int(token["id"]) for token in added if token.get("special", False))
    return Vocabulary(size=len(tokenizer["model"]["vocab"]), special_ids=tuple(special))
