"""Prompts: fresh, seeded, without special ids; windows: one a text, seeded, of all lengths, enough or an
error.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging.judgements import VOCABULARY_OF_FAKES, protocol

from tasks.errors import TooLittleText
from tasks.judging import Vocabulary, vocabulary_of
from tasks.judging.measure.prompts import random_prompts, sample_windows

PLAN = protocol().accuracy
TEXTS = [list(range(1000 * n, 1000 * n + 70 + n)) for n in range(40)]


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


def test_every_text_gives_one_window_that_is_its_start() -> None:
    windows = sample_windows(TEXTS, (0,), PLAN, seed=3)
    assert [window.sample_id for window in windows] == [str(n) for n in range(40)]
    for window, ids in zip(windows, TEXTS, strict=True):
        assert window.prompt == (0, *ids)[: len(window.prompt)]


def test_contexts_have_all_lengths_up_to_the_longest_that_is_declared() -> None:
    plan = PLAN.model_copy(update={"gate": PLAN.gate.model_copy(update={"samples": 2000})})
    windows = sample_windows(TEXTS * 50, (0,), plan, seed=3)
    lengths = {len(window.prompt) for window in windows}
    assert lengths == set(range(PLAN.min_context_tokens, PLAN.max_context_tokens + 1))


def test_a_short_text_gives_what_it_has() -> None:
    windows = sample_windows([[7, 8, 9], *TEXTS], (0,), PLAN, seed=3)
    assert windows[0].prompt == (0, 7, 8, 9)


def test_windows_are_decided_by_the_seed() -> None:
    same, other = (sample_windows(TEXTS, (), PLAN, seed=seed) for seed in (3, 4))
    assert same == sample_windows(TEXTS, (), PLAN, seed=3)
    assert same != other


def test_too_few_texts_are_told_with_how_many_there_are() -> None:
    with pytest.raises(TooLittleText, match="39 of 40 held-out texts can be continued; 40 are declared"):
        sample_windows([*TEXTS[1:], []], (), PLAN, seed=0)


def test_the_vocabulary_is_read_from_a_tokenizer_file() -> None:
    tokenizer = {
        "model": {"vocab": {"a": 0, "b": 1, "<s>": 2}},
        "added_tokens": [{"id": 2, "special": True}, {"id": 1, "special": False}],
    }
    assert vocabulary_of(tokenizer) == Vocabulary(size=3, special_ids=(2,))
