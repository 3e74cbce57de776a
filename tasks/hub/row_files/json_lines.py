"""Rows of JSON Lines, packed with gzip or not."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tasks.errors import TextsInvalid
from tasks.hub.row_files.row import FileRow

GZIP = b"\x1f\x8b"
# Only behind such an escape can half a surrogate pair hide.
SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def read_lines(path: Path, name: str) -> Iterator[FileRow]:
    """Yield the row of each line that is not empty.

    Raises:
        TextsInvalid: a line is not a JSON object, or the file is damaged.
    """
    number = 0
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _row(line, f"{name}:{number}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TextsInvalid(
            f"this gzip file is damaged after line {number}: {error}",
            where=name,
            fix="pack it again, or pin a commit whose upload was completed",
        ) from error


def parse_line(line: bytes, place: str) -> dict[str, Any]:
    """Return the object in one line; `place` is FILE:LINE.

    Raises:
        TextsInvalid: it is not a JSON object in UTF-8.
    """
    try:
        row: Any = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise TextsInvalid(
            f"this line is not JSON: {error}", where=place, fix="write one JSON object per line"
        ) from error
    if not isinstance(row, dict):
        raise TextsInvalid(
            f"this row is not an object but {type(row).__name__}",
            where=place,
            fix="write one JSON object per line",
        )
    return row


def _open(path: Path) -> gzip.GzipFile | BinaryIO:
    with path.open("rb") as stream:
        packed = stream.read(len(GZIP)) == GZIP
    return gzip.open(path) if packed else path.open("rb")


def _row(line: bytes, place: str) -> FileRow:
    row = parse_line(line, place)
    if not SURROGATE_ESCAPE.search(line):
        return FileRow(place, row, replaced=False)
    clean = _replaced(row)
    return FileRow(place, clean, replaced=clean != row)


def _replaced(value: Any) -> Any:
    """Return a JSON value with half surrogate pairs replaced, in names of fields as well."""
    match value:
        case str():
            return SURROGATE.sub(REPLACEMENT, value)
        case list():
            return [_replaced(one) for one in value]
        case dict():
            return {_replaced(name): _replaced(one) for name, one in value.items()}
        case _:
            return value
