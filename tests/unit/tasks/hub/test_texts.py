"""Choosing texts, and the texts that the demo's dataset holds."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.demo.hub_repo import DEMO_HUB
from tasks.errors import TextsInvalid
from tasks.hub.row_files import parse_line
from tasks.hub.rows import RowUnusable, choose
from tasks.hub.texts import Text, read_text

DEMO_TEXTS = DEMO_HUB / "datasets" / "enginery" / "demo-text"


def parse_row(line: bytes, text_field: str, place: str) -> Text:
    return read_text(parse_line(line, place), place, text_field=text_field)


def texts(count: int) -> list[Text]:
    return [Text(id=f"r{i}", text=f"text {i}") for i in range(count)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_choice_depends_on_seed_and_ids_not_on_order(
    seed: int, samples: int, shuffler: random.Random
) -> None:
    ordered = texts(40)
    shuffled = list(ordered)
    shuffler.shuffle(shuffled)
    chosen = choose(ordered, samples, seed)
    assert chosen == choose(shuffled, samples, seed)
    assert len(chosen) == min(samples, 40)


@given(st.integers(0, 1000))
def test_fewer_samples_are_a_beginning_of_more(seed: int) -> None:
    assert choose(texts(40), 25, seed)[:10] == choose(texts(40), 10, seed)


def test_a_new_row_displaces_one_at_most() -> None:
    before = set(choose(texts(200), 50, seed=3))
    after = set(choose(texts(201), 50, seed=3))
    assert len(before - after) <= 1


def test_seeds_choose_differently() -> None:
    assert choose(texts(200), 50, seed=0) != choose(texts(200), 50, seed=1)


def test_a_row_without_id_is_known_by_its_place() -> None:
    assert parse_row(b'{"text": "ab"}', "text", "train.jsonl:7").id == "train.jsonl:7"
    assert parse_row(b'{"id": 4, "text": "ab"}', "text", "train.jsonl:7").id == "4"
    assert parse_row(b'{"id": 0, "text": "ab"}', "text", "train.jsonl:7").id == "0"
    assert parse_row(b'{"id": null, "text": "ab"}', "text", "train.jsonl:7").id == "train.jsonl:7"
    assert parse_row(b'{"id": "", "text": "ab"}', "text", "train.jsonl:7").id == "train.jsonl:7"


@pytest.mark.parametrize("line", [b"[]", b'"a"', b"{", b"\xff", b'{"text": "\xed\xa0\x80"}', b"[" * 100_000])
def test_a_line_that_is_no_row_is_refused_with_its_place(line: bytes) -> None:
    with pytest.raises(TextsInvalid) as refusal:
        parse_row(line, "text", "train.jsonl:7")
    assert refusal.value.where == "train.jsonl:7"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "no text"),
        ({"text": None}, "no text"),
        ({"text": ""}, "no text"),
        ({"text": " \n\t"}, "no text"),
        ({"text": 3}, "no text"),
        ({"text": ["a text"]}, "no text"),
        ({"text": b"a text"}, "no text"),
        ({"text": " a\n"}, "a single token"),
    ],
)
def test_a_row_without_usable_text_is_left_out_with_a_reason(row: dict[str, object], reason: str) -> None:
    with pytest.raises(RowUnusable) as left_out:
        read_text(row, "train.jsonl:7", text_field="text")
    assert left_out.value.reason == reason


def demo_rows(split: str) -> Iterator[dict[str, str]]:
    with (DEMO_TEXTS / f"{split}.jsonl").open(encoding="utf-8") as stream:
        yield from (json.loads(line) for line in stream)


def module(row: dict[str, str]) -> str:
    parts = Path(row["id"].partition(":")[0]).with_suffix("").parts
    inner = parts[1:] if parts[0] in {"test", "idlelib", "unittest"} and len(parts) > 1 else parts
    return inner[0].removeprefix("_").removeprefix("test_")


def test_held_out_texts_share_no_module_with_those_that_were_trained_on() -> None:
    heldout, calibration = list(demo_rows("heldout")), list(demo_rows("calibration"))
    assert not {module(row) for row in heldout} & {module(row) for row in calibration}
    assert not {row["text"] for row in heldout} & {row["text"] for row in calibration}
    assert len({row["id"] for row in heldout}) == len(heldout) >= 600
