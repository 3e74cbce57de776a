"""Windows: one per text, seeded, of all lengths, as long as the shape allows; enough of them or an error."""

from collections.abc import Sequence

import pytest
from support.judging.judgements import protocol

from tasks.errors import TooLittleText
from tasks.judging import WindowGroup
from tasks.judging.measure.accuracy.windows import Window, sample_windows

PLAN = protocol().accuracy
TEXTS = [tuple(range(1000 * n, 1000 * n + 70 + n)) for n in range(40)]
SHORT = [tuple(range(1000 * n, 1000 * n + n % 7)) for n in range(1, 41)]
SEPARATOR = (-1, -2)
LONG = WindowGroup(
    name="long", texts=25, min_context_tokens=90, max_context_tokens=200, continuation_tokens=9
)


def windows(
    texts: Sequence[tuple[int, ...]] = TEXTS, lead: tuple[int, ...] = (0,), seed: int = 3
) -> list[Window]:
    return sample_windows(texts, lead, SEPARATOR, PLAN, seed=seed)


def long_windows(texts: Sequence[tuple[int, ...]] = SHORT, seed: int = 3) -> list[Window]:
    """15 usual windows and 25 long ones."""
    usual = PLAN.windows[0].model_copy(update={"texts": 15})
    plan = PLAN.model_copy(update={"windows": (usual, LONG)})
    return sample_windows(texts, (0,), SEPARATOR, plan, seed=seed)


def test_every_text_gives_one_window_that_is_its_start_if_it_is_long_enough() -> None:
    made = windows()
    assert [window.sample_id for window in made] == [str(n) for n in range(40)]
    for window, ids in zip(made, TEXTS, strict=True):
        assert window.prompt == (0, *ids)[: len(window.prompt)]
        assert window.behind == ()
        assert window.continuation_tokens == 6


def test_contexts_have_all_lengths_up_to_the_longest_that_is_declared() -> None:
    (group,) = PLAN.windows
    many = group.model_copy(update={"texts": 2000})
    gate = PLAN.gate.model_copy(update={"samples": 2000})
    plan = PLAN.model_copy(update={"gate": gate, "windows": (many,)})
    made = sample_windows(TEXTS * 50, (0,), SEPARATOR, plan, seed=3)
    lengths = {len(window.prompt) for window in made}
    assert lengths == set(range(group.min_context_tokens, group.max_context_tokens + 1))


def test_groups_follow_each_other_and_short_texts_stand_behind_others() -> None:
    made = long_windows()
    lengths = [len(window.prompt) for window in made]
    assert max(lengths[:15]) <= 32 < 90 <= min(lengths[15:])
    assert len(set(lengths[15:])) > 15
    assert [window.continuation_tokens for window in made] == [6] * 15 + [9] * 25


def test_a_joined_context_is_made_of_the_texts_that_are_recorded_and_ends_with_the_start_of_its_own() -> None:
    for window in long_windows():
        front = [token for name in window.behind for token in (*SHORT[int(name)], *SEPARATOR)]
        own = SHORT[int(window.sample_id)]
        assert window.sample_id not in window.behind
        shown = [
            length
            for length in range(1 if own else 0, len(own) + 1)
            if (*front, *own[:length])[-len(window.prompt) + 1 :] == window.prompt[1:]
        ]
        assert shown, "the first text is cut at its front, and the own one at its end"
        assert len(front) + shown[0] >= len(window.prompt) - 1


def test_texts_are_joined_as_often_as_it_takes() -> None:
    few = [(), *TEXTS[:1], *[()] * 38]
    made = long_windows(few)
    assert {len(window.prompt) >= 90 for window in made[15:]} == {True}
    assert made[20].behind.count("1") >= 2


def test_windows_are_decided_by_the_seed() -> None:
    assert windows() == windows()
    assert windows() != windows(seed=4)
    assert long_windows() == long_windows()
    assert long_windows() != long_windows(seed=4)


def test_too_few_texts_are_reported_with_how_many_there_are() -> None:
    with pytest.raises(TooLittleText, match="39 of 40 held-out texts can be continued; 40 are declared"):
        windows([*TEXTS[1:], ()], lead=())
