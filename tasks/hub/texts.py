"""Texts for calibration and judging: {"id", "text"} lines of `texts.jsonl`, made of the rows of a dataset.

Conversations, in a field `messages`, become texts by the chat template of the checkpoint.
"""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from artifacts.progress import Say
from engine_specs.spec import TextSource
from tasks.hub.access import HubAccess
from tasks.hub.chats import CHAT_FIELD, Chats
from tasks.hub.rows import Location, Row, RowUnusable, TextsReport, fetch_rows, name_of

TEXTS_FILE = "texts.jsonl"
# A text of one character is one token, which has nothing before it that could say what comes.
LEAST_CHARACTERS = 2


class Text(Row):
    """One text, and its id in the dataset."""

    text: str = Field(min_length=1, description="The text.")


def fetch_texts(
    source: TextSource,
    location: Location,
    dest: Path,
    *,
    access: HubAccess,
    say: Say,
    chats: Chats | None = None,
) -> TextsReport:
    """Choose the texts that a source asks for, and write them to `dest` with a report.

    `chats` writes conversations, if the source names the field that holds them (`holds_chats`).
    Raises what `fetch_rows` raises.
    """
    read = partial(read_text, text_field=source.text_field, chats=chats)
    fields = (source.text_field,)
    return fetch_rows(
        source, location, dest, read=read, fields=fields, file_name=TEXTS_FILE, access=access, say=say
    )


def holds_chats(source: TextSource) -> bool:
    """Whether the field that a source names holds conversations."""
    return source.text_field == CHAT_FIELD


def parse_texts(content: bytes) -> tuple[Text, ...]:
    """Return the texts of the content of `texts.jsonl`."""
    return tuple(Text.model_validate_json(line) for line in content.splitlines())


def read_text(row: dict[str, Any], place: str, *, text_field: str, chats: Chats | None = None) -> Text:
    """Return the text of one row; raise `RowUnusable` if it has none. `place` is FILE:LINE."""
    text = row.get(text_field)
    if chats is not None and text is not None:
        text = chats.text(text)
    if not isinstance(text, str) or not text.strip():
        has = f"this row has no text in field {text_field!r}; it has: {', '.join(row)}"
        raise RowUnusable("no text", has)
    if len(text.strip()) < LEAST_CHARACTERS:
        raise RowUnusable("a single token", f"its text is {text!r}")
    return Text(id=name_of(row, place), text=text)
