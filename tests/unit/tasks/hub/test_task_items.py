"""Questions out of rows: by the fields that a spec names, and with an error that names field and setting."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.judging.tasks import choosing, writing

from tasks.errors import TextsInvalid
from tasks.hub import HubAccess, TaskItem, parse_items, refuse_asked
from tasks.hub.rows import LocalTexts
from tasks.hub.task_items import ITEMS_FILE, fetch_items, read_item
from tasks.hub.texts import Text

ARC = {
    "id": "Mercury_7",
    "question": "Which {is} it?",
    "choices": {"text": ["ice", "fire"], "label": ["A", "B"]},
    "answerKey": "B",
}
OF_ARC: dict[str, Any] = {
    "prompt": "Question: {question} ({{choose}})\nAnswer:",
    "options_field": "choices.text",
    "labels_field": "choices.label",
    "label_field": "answerKey",
}


def test_a_prompt_is_filled_in_and_dots_reach_into_objects() -> None:
    item = read_item(ARC, "test.jsonl:1", task=choosing(**OF_ARC))
    assert item == TaskItem(
        id="Mercury_7",
        prompt="Question: Which {is} it? ({choose})\nAnswer:",
        options=("ice", "fire"),
        label=1,
        sources=("Which {is} it?",),
    )
    inside = read_item(ARC | {"meta": {"n": 3}}, "x:1", task=choosing(**OF_ARC | {"prompt": "{meta.n}."}))
    assert inside.prompt == "3."


@pytest.mark.parametrize(
    ("label", "index"), [(1, 1), ("1", 1), ("fire", 1), ("ice", 0)], ids=["number", "digits", "text", "first"]
)
def test_a_label_without_names_is_an_index_or_a_text(label: Any, index: int) -> None:
    task = choosing(prompt="{q}", options_field="o", label_field="l")
    assert read_item({"q": "?", "o": ["ice", "fire"], "l": label}, "x:1", task=task).label == index


def test_a_text_that_is_an_option_counts_before_a_number() -> None:
    task = choosing(prompt="{q}", options_field="o", label_field="l")
    assert read_item({"q": "?", "o": ["3", "1", "2"], "l": "1"}, "x:1", task=task).label == 1


@pytest.mark.parametrize(("answer", "answers"), [("4", ("4",)), (4, ("4",)), (["4", "four"], ("4", "four"))])
def test_an_answer_is_a_text_a_number_or_several_texts(answer: Any, answers: tuple[str, ...]) -> None:
    row = {"number": 3, "sum": answer}
    assert read_item(row, "x:1", task=writing()).answers == answers


@pytest.mark.parametrize(
    ("change", "settings", "message", "fix"),
    [
        ({}, {"prompt": "{ask}"}, "no field 'ask'", "`prompt` .* id, question, choices, choices.text"),
        ({}, {"options_field": "choices.txt"}, "no field 'choices.txt'", "`options_field`"),
        ({}, {"options_field": "question"}, "'question' holds 'Which", "a list of two texts or more"),
        ({"choices": {"text": ["ice"], "label": ["A"]}}, {}, r"holds \['ice'\]", "two texts or more"),
        (
            {"choices": {"text": ["a", "b"], "label": ["A", "B", "C"]}},
            {},
            "3 names for 2 options",
            "one per option",
        ),
        ({"answerKey": "C"}, {}, "'answerKey' holds 'C', which is not one of 2", "'A', 'B'"),
        ({"answerKey": "C"}, {"labels_field": None}, "which is not one of 2", "'ice', 'fire'"),
        ({"answerKey": 2}, {"labels_field": None}, "holds 2, which is not one", "index from 0"),
        ({"answerKey": True}, {"labels_field": None}, "holds True, which is not one", "index from 0"),
        ({"answerKey": None}, {}, "holds None, which is not one", "`label_field`"),
        ({"question": ["?"]}, {}, r"'question' holds \['\?'\]", "a text or a number"),
    ],
)
def test_a_row_that_does_not_hold_what_is_named_is_refused(
    change: dict[str, Any], settings: dict[str, Any], message: str, fix: str
) -> None:
    with pytest.raises(TextsInvalid, match=message) as refused:
        read_item(ARC | change, "test.jsonl:7", task=choosing(**OF_ARC | settings))
    assert refused.value.where == "test.jsonl:7"
    assert "(task fruit)" in refused.value.what
    assert re.search(fix, refused.value.fix)


@pytest.mark.parametrize("answer", [[], [4], {"a": 1}, None])
def test_an_answer_that_is_no_text_is_refused(answer: Any) -> None:
    with pytest.raises(TextsInvalid, match="'sum' holds"):
        read_item({"number": 3, "sum": answer}, "x:1", task=writing())


def test_chosen_rows_are_written_with_a_report(tmp_path: Path) -> None:
    rows = tmp_path / "sums.jsonl"
    rows.write_text("".join(f'{{"number": {n}, "sum": "{n + 1}"}}\n' for n in range(20)))
    location = LocalTexts(path=rows, sha256="0" * 64)
    access = HubAccess(endpoint="http://127.0.0.1:9", cache_dir=tmp_path)
    dest = tmp_path / "dest"
    report = fetch_items(writing(samples=8, seed=3), location, dest, access=access, say=lambda _line: None)
    items = parse_items((dest / ITEMS_FILE).read_bytes())
    assert report.sample_ids == tuple(item.id for item in items)
    assert len({item.prompt for item in items}) == 8
    with pytest.raises(TextsInvalid, match="21 texts are needed"):
        fetch_items(writing(samples=21), location, dest, access=access, say=lambda _line: None)


ITEM = read_item(ARC, "x:1", task=choosing(**OF_ARC))


@pytest.mark.parametrize(
    "text",
    [
        "Which {is}  it?",
        " Question: Which {is} it? ({choose}) Answer:",
        "Question: Which {is} it? ({choose})\nAnswer: fire",
    ],
    ids=["alone", "as-asked", "with-its-answer"],
)
def test_a_question_that_calibrates_is_refused(text: str) -> None:
    ours = [Text(id="c1", text="of its own"), Text(id="c2", text=text)]
    with pytest.raises(TextsInvalid, match=r"1 of the texts .* fp8 are questions of task arc: 'c2' is 'Merc"):
        refuse_asked(ours, "arc", [ITEM], "fp8")


def test_other_texts_calibrate() -> None:
    refuse_asked([Text(id="c1", text="Which {is} it? Answer: ice")], "arc", [ITEM], "fp8")
