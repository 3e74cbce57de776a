"""Which option was chosen, whether an answer is right, and where the ids of options begin."""

from typing import Any

import pytest
from support.judging.tasks import choices, choosing, writing

from tasks.judging.measure.accuracy.task_scores.questions import split
from tasks.judging.measure.accuracy.task_scores.readings import chosen_option, read_text

(ITEM,) = choices(1)


def test_a_tie_goes_to_the_first_option() -> None:
    assert chosen_option((-3.0, -2.0, -2.0), ("a", "b", "c"), choosing()) == 1


def test_bytes_are_those_of_the_option_in_utf_8() -> None:
    task = choosing(length_normalization="bytes")
    assert chosen_option((-4.0, -5.0), ("aaa", "ääää"), task) == 1
    assert chosen_option((-4.0, -5.0), ("aaa", "aaaa"), choosing()) == 0


@pytest.mark.parametrize(
    ("text", "settings", "right"),
    [
        (" 42 ", {}, True),
        (" 42 ", {"normalize": ()}, False),
        ("Forty-two", {"normalize": ("strip", "lower-case")}, True),
        ("Forty-two", {}, False),
        ("42\n7", {"stop": ("\n",)}, True),
        ("42, 7; 9", {"stop": (";", ",")}, True),
        ("so it is #### 42 indeed", {"extract": "#### (\\d+)"}, True),
        ("42, but without a mark", {"extract": "#### (\\d+)"}, False),
        ("it is 42", {"extract": "\\d+"}, True),
        ("it is x", {"extract": "(\\d+)?x"}, False),
    ],
)
def test_answers_are_compared_as_declared(text: str, settings: dict[str, Any], right: bool) -> None:
    assert read_text(text, ("42", "forty-two"), writing(**settings)).right == right


def test_the_answer_of_the_dataset_is_extracted_as_well() -> None:
    task = writing(extract="#### (\\d+)")
    assert read_text("#### 42", ("6 x 7 = 42\n#### 42",), task).right
    assert read_text("#### 42", ("42",), task).right, "an answer without a match is taken as it is"


def test_ids_that_all_options_have_in_common_belong_to_the_prompt() -> None:
    question = split(ITEM, [1, 2, 3], [[1, 2, 3, 7, 8], [1, 2, 3, 7], [1, 2, 3, 9]])
    assert (question.prompt, question.options) == ((1, 2, 3), ((7, 8), (7,), (9,)))


def test_an_option_that_changes_the_end_of_the_prompt_counts_from_there_for_all() -> None:
    question = split(ITEM, [1, 2, 3], [[1, 2, 3, 7], [1, 2, 5]])
    assert (question.prompt, question.options) == ((1, 2), ((3, 7), (5,)))


def test_an_option_has_at_least_one_id_of_its_own() -> None:
    assert split(ITEM, [1, 2], [[1, 2], [1, 2, 3]]).options == ((2,), (2, 3))


def test_a_prompt_without_options_is_asked_whole() -> None:
    assert split(ITEM, [1, 2], []).prompt == (1, 2)
