"""Texts for calibration and judging: {"id", "text"} lines of `texts.jsonl`, made of the rows of a dataset."""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from artifacts.progress import Say
from engine_specs.spec import TextSource
from tasks.errors import TextsInvalid
from tasks.hub.access import HubAccess
from tasks.hub.rows import Location, Row, TextsReport, fetch_rows

TEXTS_FILE = "texts.jsonl"


class Text(Row):
    """One text, and its id in the dataset."""

    text: str = Field(min_length=1, description="The text.")


def fetch_texts(
    source: TextSource, location: Location, dest: Path, *, access: HubAccess, say: Say
) -> TextsReport:
    """Choose the texts that a source asks for, and write them to `dest` with a report.

    Raises what `fetch_rows` raises.
    """
    read = partial(read_text, text_field=source.text_field)
    return fetch_rows(source, location, dest, read=read, file_name=TEXTS_FILE, access=access, say=say)


def load_texts(tree: Path) -> tuple[Text, ...]:
    """Read the texts that `fetch_texts` wrote."""
    return parse_texts((tree / TEXTS_FILE).read_bytes())


def parse_texts(content: bytes) -> tuple[Text, ...]:
    """Return the texts of the content of `texts.jsonl`."""
    return tuple(Text.model_validate_json(line) for line in content.splitlines())


def read_text(row: dict[str, Any], place: str, *, text_field: str) -> Text:
    """Return the text of one row; `place` is FILE:LINE."""
    text = row.get(text_field)
    if not isinstance(text, str) or not text:
        raise TextsInvalid(
            f"this row has no text in field {text_field!r}; it has: {', '.join(row)}",
            where=place,
            fix="set `text_field` to the field that holds the text",
        )
    return Text(id=str(row.get("id", place)), text=text)
