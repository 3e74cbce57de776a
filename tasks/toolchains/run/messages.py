"""What the tools' own error messages mean: a table (`messages.yaml`), matched against a log's last lines."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from artifacts.frozen import Frozen

MESSAGES_FILE = Path(__file__).with_name("messages.yaml")
Failure = Literal["unsupported", "input", "out-of-memory", "infrastructure"]


class KnownMessage(Frozen):
    """One message of a tool, with its cause and its fix."""

    name: str = Field(description="What it is about, in a few words.")
    pattern: str = Field(description="Regular expression that is searched in one line.")
    cause: str = Field(description="What is wrong, as part of a sentence.")
    remedy: str = Field(description="What to do next, as part of a sentence.")
    failure: Failure = Field(description="Failure class of a run that ends with it.")
    source: str = Field(min_length=10, description="Where the message comes from.")
    example: str = Field(description="A line as the tool prints it.")


class MessageTable(Frozen):
    """The content of `messages.yaml`; root causes come before the messages that follow from them."""

    messages: tuple[KnownMessage, ...] = Field(min_length=1, description="One row per message.")


@cache
def known_messages(path: Path = MESSAGES_FILE) -> tuple[KnownMessage, ...]:
    """All rows, in the order in which they are tried."""
    return MessageTable.model_validate(
        yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    ).messages


def recognised(lines: Iterable[str]) -> KnownMessage | None:
    """The first row that matches one of these lines; None if no row does."""
    lines = list(lines)
    for row in known_messages():
        if any(re.search(row.pattern, line) for line in lines):
            return row
    return None
