"""Which files of a dataset are a split, as datasets on the Hub are laid out."""

import pytest

from tasks.errors import TextsInvalid
from tasks.hub.row_files import split_files
from tasks.hub.selection import HubFile

WHERE = "dataset acme/texts at main"


def found(split: str, *paths: str) -> list[str]:
    files = [HubFile(path=path, size_bytes=1, blob_id="0" * 40) for path in paths]
    return [file.path for file in split_files(files, split, where=WHERE)]


@pytest.mark.parametrize(
    ("split", "files"),
    [
        ("train", ["train.jsonl"]),
        ("train", ["data/train.jsonl.gz"]),
        ("train", ["train.json"]),
        ("en/c4-train", ["en/c4-train.00000-of-00002.json.gz", "en/c4-train.00001-of-00002.json.gz"]),
        ("train", ["data/train-00000-of-00001.parquet"]),
        ("train", ["data/train-00000-of-00002-a1b2.parquet", "data/train-00001-of-00002-c3d4.parquet"]),
        ("train", ["train/0000.parquet", "train/0001.parquet"]),
        ("train", ["data/train/part-1.parquet", "data/train/part-2.parquet", "data/train/part-10.parquet"]),
        ("train", ["train-1-of-2.jsonl", "train-2-of-2.jsonl"]),
        ("train", [f"train-{number}-of-11.jsonl" for number in range(11)]),
        ("main/test", ["main/test-00000-of-00001.parquet"]),
        ("wikitext-2-raw-v1/test", ["wikitext-2-raw-v1/test-00000-of-00001.parquet"]),
    ],
)
def test_the_files_of_a_split_come_in_the_order_of_their_numbers(split: str, files: list[str]) -> None:
    others = [
        "README.md",
        "training.jsonl",
        "data/test.jsonl",
        "other/train.jsonl",
        "train/state.json",
    ]
    assert found(split, *reversed(files), *others) == files


def test_a_split_in_several_formats_is_read_in_one() -> None:
    assert found("train", "train.parquet", "train.jsonl", "train.jsonl.gz") == ["train.jsonl"]
    assert found("train", "train.parquet", "train.csv") == ["train.parquet"]


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        (
            ["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"],
            "lacks 1 of its 3 files: number 1",
        ),
        (["train-00001-of-00002.jsonl"], "lacks 1 of its 2 files: number 2"),
        (["train/00000-of-00009.jsonl"], "lacks 8 of its 9 files: number 1, 2, 3, 4, 5\n"),
        (["train.csv", "train-1.arrow"], "only these files: train.csv, train-1.arrow"),
        (
            ["main/train-00000-of-00001.parquet", "data/test.jsonl", "README.md"],
            "no split 'train'; it has main/train, test\n",
        ),
        (["README.md"], "no split 'train'\n"),
        ([f"{number}/all.jsonl" for number in range(30)], "and 20 more\n"),
    ],
)
def test_a_split_that_is_not_there_or_not_whole_is_refused_with_what_there_is(
    paths: list[str], what: str
) -> None:
    with pytest.raises(TextsInvalid, match=what) as refusal:
        found("train", *paths)
    assert refusal.value.where == WHERE
    assert refusal.value.fix
