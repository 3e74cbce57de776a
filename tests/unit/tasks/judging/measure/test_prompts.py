"""Prompts: fresh, seeded, without special ids; windows: one a text, seeded, of all lengths, enough or an
error.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging.judgements import VOCABULARY_OF_FAKES, protocol

from tasks.errors import TooLittleText
from tasks.judging import Vocabulary, vocabulary_of
from tasks.judging.measure.prompts import HEAD_TOKENS, PromptText, new_prompts, sample_windows

PLAN = protocol().accuracy
TEXTS = [list(range(1000 * n, 1000 * n + 70 + n)) for n in range(40)]


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


def test_too_few_texts_are_reported_with_how_many_there_are() -> None:
    with pytest.raises(TooLittleText, match="39 of 40 held-out texts can be continued; 40 are declared"):
        sample_windows([*TEXTS[1:], []], (), PLAN, seed=0)


def test_the_vocabulary_is_read_from_a_tokenizer_file() -> None:
    tokenizer = {
        "model": {"vocab": {"a": 0, "b": 1, "<s>": 2}},
        "added_tokens": [{"id": 2, "special": True}, {"id": 1, "special": False}],
    }
    assert vocabulary_of(tokenizer) == Vocabulary(size=3, special_ids=(2,))
