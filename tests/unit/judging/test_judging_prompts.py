"""Prompts: fresh, seeded, without special ids; windows: disjoint, seeded, enough or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judgements import VOCABULARY_OF_FAKES, protocol

from tasks.errors import TooLittleText
from tasks.judging.prompts import random_prompts, sample_windows, vocabulary_of
from tasks.judging.protocol import Vocabulary

PLAN = protocol().accuracy


def prompts(seed: int = 1, purpose: str = "engine/2", index: int = 1) -> list[tuple[int, ...]]:
    return random_prompts(VOCABULARY_OF_FAKES, seed=seed, purpose=purpose, index=index, count=20, length=16)


def test_prompts_are_decided_by_seed_purpose_and_round_alone() -> None:
    assert prompts() == prompts()
    others = [prompts(seed=2), prompts(purpose="reference/2"), prompts(index=2)]
    everything = [one for made in [prompts(), *others] for one in made]
    assert len(set(everything)) == len(everything) == 80


@given(special=st.sets(st.integers(0, 19), max_size=19), seed=st.integers(0, 2**31))
def test_prompts_hold_ordinary_ids_only(special: set[int], seed: int) -> None:
    vocabulary = Vocabulary(size=20, special_ids=tuple(sorted(special)))
    made = random_prompts(vocabulary, seed=seed, purpose="p", index=0, count=3, length=40)
    assert {token for prompt in made for token in prompt} <= set(range(20)) - special
    assert all(len(prompt) == 40 for prompt in made)


def test_windows_are_disjoint_and_leave_enough_context() -> None:
    texts = [list(range(1000 * n, 1000 * n + 70 + n)) for n in range(8)]
    windows = sample_windows(texts, (0,), PLAN, count=16, seed=3)
    tokens = [token for window in windows for token in window.tokens]
    assert len(set(tokens)) == len(tokens)
    assert len({window.sample_id for window in windows}) == 16
    for window in windows:
        assert PLAN.min_context_tokens <= window.position < len(window.tokens) <= PLAN.window_tokens
        assert window.prompt == (0, *window.tokens[: window.position])


def test_windows_are_decided_by_the_seed() -> None:
    texts = [list(range(400))]
    same, other = (sample_windows(texts, (), PLAN, count=8, seed=seed) for seed in (3, 4))
    assert same == sample_windows(texts, (), PLAN, count=8, seed=3)
    assert same != other


def test_too_little_text_says_how_much_there_is() -> None:
    with pytest.raises(TooLittleText, match="gives 3 windows of 9 to 32 tokens; 4 are declared"):
        sample_windows([[1] * 80, [1] * 8], (), PLAN, count=4, seed=0)


def test_the_vocabulary_is_read_from_a_tokenizer_file() -> None:
    tokenizer = {
        "model": {"vocab": {"a": 0, "b": 1, "<s>": 2}},
        "added_tokens": [{"id": 2, "special": True}, {"id": 1, "special": False}],
    }
    assert vocabulary_of(tokenizer) == Vocabulary(size=3, special_ids=(2,))
