"""From the text of a timed answer to its tokens, with a tokenizer in which several tokens spell the same."""

import asyncio
from collections.abc import Sequence

import pytest

from tasks.judging.measure.summaries import KeptAnswer
from tasks.judging.measure.timed_answers.second_answers import SecondAnswer
from tasks.judging.measure.timed_answers.spelling import Speller

END = 0
Ids = tuple[int, ...]
WORDS = {1: "a", 2: "b", 3: "ab", 4: " ", 5: "c", 6: "\ufffd", END: "</s>"}


class Tokenizer:
    """Reads the longest token first; writes special tokens, as vLLM's /detokenize does."""

    async def tokenize(self, text: str, *, special_tokens: bool) -> list[int]:
        assert not special_tokens
        ids = []
        while text:
            token = max(
                (t for t, word in WORDS.items() if text.startswith(word)), key=lambda t: len(WORDS[t])
            )
            ids.append(token)
            text = text[len(WORDS[token]) :]
        return ids

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(WORDS[token] for token in tokens)


def tokens(text: str, again: Ids, prompt: Ids = (5, 4)) -> tuple[bool, Ids]:
    speller = Speller(Tokenizer(), special_ids=[END])  # type: ignore[arg-type]
    timed = KeptAnswer(prompt=prompt, text=text, claimed_tokens=max(1, len(again)))
    return asyncio.run(speller.tokens(SecondAnswer(concurrency=1, timed=timed, again=again)))


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("ab", (3,)),
        ("ab", (1, 2)),
        ("a b", (1, END, 4, 2, END)),
        ("ab", (1, 6, 2)),
        ("a\ufffd\ufffdb", (1, 6, 2)),
    ],
    ids=["as read", "spelled otherwise", "special ids have no text", "held back", "written otherwise"],
)
def test_ids_that_spell_the_timed_text_are_its_tokens(text: str, again: Ids) -> None:
    assert tokens(text, again) == (True, again)


@pytest.mark.parametrize(
    ("text", "again", "found"),
    [
        ("abc ab", (1, 2, 4, 4), (1, 2, 5, 4, 3)),
        ("ab", (1, 2, 5, 5), (1, 2)),
        ("", (1, 2), ()),
        ("cc", (1, 2), (5, 5)),
        ("abab", (3, END, 3, 3), (3, END, 3)),
    ],
    ids=["parts", "ends early", "is empty", "is another", "ends early after an end"],
)
def test_where_texts_part_the_rest_is_read_by_the_tokenizer(text: str, again: Ids, found: Ids) -> None:
    assert tokens(text, again) == (False, found)


def test_a_text_is_read_as_after_what_comes_before_it() -> None:
    """After `a`, the text `b` is one token; read together they would be another one."""
    same, found = tokens("bc", (5,), prompt=(4, 1))
    assert not same
    assert found == (5,), "`ab` and `c` are read together, and `ab` takes the place of `a`"


def test_counting_leaves_out_what_cannot_be_read() -> None:
    speller = Speller(Tokenizer(), special_ids=[END])  # type: ignore[arg-type]
    assert asyncio.run(speller.count("ab\ufffd c")) == 3
    assert asyncio.run(speller.count("")) == 0
