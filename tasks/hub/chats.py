"""Conversations as text, by the chat template of the checkpoint that reads them.

Invariants:
- The date that a template may show is a fixed one: the same rows are the same texts on every day.
- A text does not begin with the token that begins every text: whoever tokenizes it puts that in front.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from artifacts.progress import Say
from tasks.hub.access import HubAccess
from tasks.hub.checkpoint import place
from tasks.hub.client import Repository, list_files
from tasks.hub.rows import RowUnusable
from tasks.workers.completions_server.text.chat_template import (
    CONFIG_FILE,
    TEMPLATE_FILE,
    ChatTemplate,
    TemplateRefused,
)

CHAT_FIELD = "messages"
"""The field of a row that holds a conversation, as datasets name it."""

NO_CHAT = "no conversation that the chat template takes"
TODAY = datetime(2026, 1, 1, tzinfo=UTC)


class Chats:
    """Writes conversations as the checkpoint in a directory reads them; two small files are enough."""

    def __init__(self, tree: Path) -> None:
        self._template = ChatTemplate(tree)
        config = tree / CONFIG_FILE
        self._begin = _begin(json.loads(config.read_bytes())) if config.is_file() else ""

    def text(self, messages: object) -> str:
        """Return a conversation as text; raise `RowUnusable` if it is none, or the template refuses it."""
        try:
            text = self._template.render(_checked(messages), {"strftime_now": TODAY.strftime})
        except TemplateRefused as error:
            raise RowUnusable(NO_CHAT, str(error)) from error
        return text.removeprefix(self._begin)


def fetch_chats(repo: Repository, commit: str, dest: Path, access: HubAccess, say: Say) -> Chats:
    """Fetch the files of a checkpoint that say how it reads conversations into `dest`.

    Raises:
        CheckpointCorrupt, CheckpointUnavailable, HubUnreachable: see `tasks.hub.client`.
    """
    wanted = (TEMPLATE_FILE, CONFIG_FILE)
    files = tuple(file for file in list_files(repo, commit, access) if file.path in wanted)
    place(repo, commit, files, dest, access, say)
    return Chats(dest)


def _checked(messages: object) -> list[dict[str, Any]]:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise RowUnusable(NO_CHAT, f"it holds {messages!r:.80}, and not a list of messages")
    return [_message(one) for one in messages]


def _message(one: object) -> dict[str, Any]:
    """Return a message as templates take it: its content is a text, and what is null is absent.

    Parquet gives every message all fields that any message has.
    """
    if not isinstance(one, Mapping) or not isinstance(one.get("role"), str):
        raise RowUnusable(NO_CHAT, f"a message is {one!r:.80}, without a role")
    given = {name: value for name, value in one.items() if value is not None}
    return {**given, "content": _content(given.get("content", ""))}


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise RowUnusable(NO_CHAT, f"a message holds {content!r:.80}, which is not text")
    return "\n".join(map(str, texts))


def _begin(config: Mapping[str, Any]) -> str:
    token = config.get("bos_token") or ""
    return str(token["content"] if isinstance(token, Mapping) else token)
