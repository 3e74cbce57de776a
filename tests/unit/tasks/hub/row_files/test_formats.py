"""Rows of JSON Lines, gzip and Parquet: the same rows, known by their content."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.errors import TextsInvalid
from tasks.hub.row_files import FileRow, read_rows
from tasks.hub.row_files import parquet as parquet_files

ROWS = [
    {"id": f"r{number}", "text": f"text {number}", "messages": [{"role": "user", "content": f"{number}"}]}
    for number in range(7)
]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(lines(rows))


def write_gzip(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress(lines(rows)))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "lines": write_lines,
    "gzip": write_gzip,
    "parquet": write_parquet,
}
every_format = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def read(path: Path, *fields: str) -> list[FileRow]:
    return list(read_rows(path, "data/train", fields or ("text", "messages")))


@every_format
def test_every_format_has_the_same_rows_at_the_same_places(
    tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "BATCH_ROWS", 2)
    write(tmp_path / "file", ROWS)
    expected = [FileRow(f"data/train:{number}", row, False) for number, row in enumerate(ROWS, start=1)]
    assert read(tmp_path / "file") == expected


@every_format
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    write(tmp_path / "file", ROWS)
    whole = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(TextsInvalid) as refusal:
        read(tmp_path / "file")
    assert refusal.value.where.startswith("data/train")
    assert refusal.value.fix


def test_of_parquet_only_the_columns_that_are_used_are_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "file", [{"id": 1, "text": "a", "deep": {"x": 2}, "image": b"large"}])
    assert read(tmp_path / "file", "text")[0].fields == {"id": 1, "text": "a"}
    assert read(tmp_path / "file", "deep.x")[0].fields == {"id": 1, "deep": {"x": 2}}
    assert read(tmp_path / "file", "body")[0].fields.keys() == {"id", "text", "deep", "image"}


def test_empty_lines_count_as_lines_and_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b'\xef\xbb\xbf{"text": "a"}\n\n{"text": "b"}')
    assert [row.place for row in read(tmp_path / "file")] == ["data/train:1", "data/train:3"]
    (tmp_path / "file").write_bytes(b"")
    assert read(tmp_path / "file") == []


@pytest.mark.parametrize(
    ("text", "read_as", "replaced"),
    [
        (r"a\ud83d", "a\ufffd", True),
        (r"\udE00\ud83d", "\ufffd\ufffd", True),
        (r"\ud83d\ude00", "\U0001f600", False),
        (r"\\ud83d", r"\ud83d", False),
    ],
)
def test_half_a_surrogate_pair_is_replaced_wherever_it_is(
    tmp_path: Path, text: str, read_as: str, replaced: bool
) -> None:
    (tmp_path / "file").write_text(f'{{"text": "{text}", "messages": [{{"content": "{text}"}}]}}')
    (row,) = read(tmp_path / "file")
    assert row == ("data/train:1", {"text": read_as, "messages": [{"content": read_as}]}, replaced)
