"""Windows of held-out texts, which all sides continue. Pure; the seed decides.

Invariants:
- There is one window per text, because bounds assume independent observations, and continuations of one text
  resemble each other.
- A context ends with the start of its own text, which is what is continued. If that is too short, others
  stand in front of it, each ended by a separator; the first of them is cut at its front. Which ones is
  recorded.
- Texts are joined as token ids, each tokenized by itself, so no tokenizer sees a text that nobody wrote.
"""

import random
from collections.abc import Iterator, Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import TooLittleText
from tasks.judging.measure.prompts import Prompt, generator
from tasks.judging.protocol import AccuracyPlan, WindowGroup

SEPARATOR = "\n\n"
"""What stands between texts that are joined: as between paragraphs."""


class Window(Frozen):
    """The start of one held-out text, to be continued, behind others if it is too short."""

    sample_id: str = Field(description="Index of the text.")
    prompt: Prompt = Field(description="Its first ids, after what the tokenizer puts in front of every text.")
    behind: tuple[str, ...] = Field(default=(), description="Indexes of the texts in front of it, in order.")
    continuation_tokens: int = Field(ge=1, description="Tokens by which it is continued.")


def sample_windows(
    texts: Sequence[Prompt], lead: Prompt, separator: Prompt, plan: AccuracyPlan, *, seed: int
) -> list[Window]:
    """Return the windows of all groups, in their order, each of a length that the seed chooses.

    Lengths are uniform from `min_context_tokens` to `max_context_tokens`, `lead` included.

    Raises `TooLittleText` if fewer texts than declared have tokens.
    """
    samples = plan.gate.samples
    usable = [index for index, ids in enumerate(texts) if lead or ids][:samples]
    if len(usable) < samples:
        raise TooLittleText(
            f"{len(usable)} of {len(texts)} held-out texts can be continued; {samples} are declared",
            where=f"validation.accuracy: {plan.gate.dataset or plan.gate.path}",
            fix="declare fewer samples, or a dataset with more texts",
        )
    maker = _Maker(texts, lead, separator, generator(seed, "windows", 0))
    groups = (group for group in plan.windows for _ in range(group.texts))
    return [maker.window(index, group) for index, group in zip(usable, groups, strict=True)]


class _Maker:
    """Makes windows one after the other; each draws from the same random stream."""

    def __init__(
        self, texts: Sequence[Prompt], lead: Prompt, separator: Prompt, source: random.Random
    ) -> None:
        self._texts = texts
        self._lead = lead
        self._separator = separator
        self._source = source

    def window(self, index: int, group: WindowGroup) -> Window:
        length = self._source.randint(group.min_context_tokens, group.max_context_tokens)
        room, own = max(0, length - len(self._lead)), self._texts[index]
        behind, front = ((), ()) if len(own) >= room else self._joined(index, room)
        own = own[: room - len(front)]
        return Window(
            sample_id=str(index),
            prompt=(*self._lead, *front, *own),
            behind=behind,
            continuation_tokens=group.continuation_tokens,
        )

    def _joined(self, index: int, room: int) -> tuple[tuple[str, ...], Prompt]:
        """Return the texts in front of one that is too short, and their ids, cut to the room that is left."""
        shown = self._source.randint(min(1, len(self._texts[index])), len(self._texts[index]))
        behind: list[int] = []
        front: Prompt = ()
        for other in self._others(index):
            if len(front) >= room - shown:
                break
            behind.insert(0, other)
            front = (*self._texts[other], *self._separator, *front)
        return tuple(map(str, behind)), front[max(0, len(front) - (room - shown)) :]

    def _others(self, index: int) -> Iterator[int]:
        """Yield other texts that have tokens, from a random one on, again and again."""
        begin, count = self._source.randrange(len(self._texts)), len(self._texts)
        others = [(begin + place) % count for place in range(count)]
        others = [other for other in others if other != index and self._texts[other]]
        while others:
            yield from others
