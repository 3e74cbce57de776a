"""Prompts of timed rounds: fresh, seeded, without special ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging.judgements import VOCABULARY_OF_FAKES

from tasks.judging import Vocabulary, vocabulary_of
from tasks.judging.measure.prompts import HEAD_TOKENS, PromptText, new_prompts

TEXT = PromptText(lead=(0,), ids=tuple(range(1000, 1100)))
KINDS = pytest.mark.parametrize("text", [TEXT, None], ids=["text", "random ids"])


def prompts(
    text: PromptText | None, seed: int = 1, purpose: str = "engine/2", index: int = 1, length: int = 16
) -> list[tuple[int, ...]]:
    return new_prompts(
        VOCABULARY_OF_FAKES, text, seed=seed, purpose=purpose, index=index, count=20, length=length
    )


@KINDS
def test_prompts_are_decided_by_seed_purpose_and_round_alone(text: PromptText | None) -> None:
    assert prompts(text) == prompts(text)
    others = [prompts(text, seed=2), prompts(text, purpose="reference/2"), prompts(text, index=2)]
    everything = [one for made in [prompts(text), *others] for one in made]
    assert len(set(everything)) == len(everything) == 80


def test_prompts_are_windows_of_the_text_behind_heads_of_their_own() -> None:
    """All windows of a text of 100 tokens have been asked before; their heads have not."""
    made = prompts(TEXT)
    assert {prompt[0] for prompt in made} == {0}
    assert len({prompt[1 : 1 + HEAD_TOKENS] for prompt in made}) == 20
    for prompt in made:
        window = prompt[1 + HEAD_TOKENS :]
        assert window == tuple(1000 + (window[0] - 1000 + place) % 100 for place in range(11))
    assert len({prompt[5] for prompt in made}) > 10


@KINDS
@pytest.mark.parametrize("length", [1, 4, 5, 6, 250])
def test_prompts_are_as_long_as_declared(text: PromptText | None, length: int) -> None:
    assert {len(prompt) for prompt in prompts(text, length=length)} == {length}


@given(special=st.sets(st.integers(0, 19), max_size=19), seed=st.integers(0, 2**31))
def test_prompts_hold_ordinary_ids_only(special: set[int], seed: int) -> None:
    vocabulary = Vocabulary(size=20, special_ids=tuple(sorted(special)))
    made = new_prompts(vocabulary, None, seed=seed, purpose="p", index=0, count=3, length=40)
    assert {token for prompt in made for token in prompt} <= set(range(20)) - special
    assert all(len(prompt) == 40 for prompt in made)


def test_the_vocabulary_is_read_from_a_tokenizer_file() -> None:
    tokenizer = {
        "model": {"vocab": {"a": 0, "b": 1, "<s>": 2}},
        "added_tokens": [{"id": 2, "special": True}, {"id": 1, "special": False}],
    }
    assert vocabulary_of(tokenizer) == Vocabulary(size=3, special_ids=(2,))
