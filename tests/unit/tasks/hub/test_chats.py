"""Conversations as text, by the checkpoint's own template."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.hub.chats import Chats
from tasks.hub.rows import RowUnusable
from tasks.hub.texts import read_text

TEMPLATE = (
    "{{ bos_token }}{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}"
    "{% for message in messages %}{% if message.role == 'system' and not loop.first %}"
    "{{ raise_exception('system comes first') }}{% endif %}"
    "<{{ message.role }}>{% if 'tool_calls' in message %}calls{% else %}{{ message.content }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.fixture
def chats(tmp_path: Path) -> Chats:
    config = {"chat_template": TEMPLATE, "bos_token": {"content": "<s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return Chats(tmp_path)


def text_of(chats: Chats, messages: object) -> str:
    return read_text({"messages": messages}, "x:1", text_field="messages", chats=chats).text


def test_a_conversation_is_the_text_of_the_template_without_the_token_that_begins_every_text(
    chats: Chats,
) -> None:
    assert text_of(chats, TALK) == "2026<user>Hi<assistant>Hello"


def test_fields_that_are_null_are_absent_as_parquet_gives_all_messages_all_fields(chats: Chats) -> None:
    assert text_of(chats, [one | {"tool_calls": None} for one in TALK]) == text_of(chats, TALK)
    assert (
        text_of(chats, [{"role": "assistant", "content": None, "tool_calls": [1]}]) == "2026<assistant>calls"
    )


def test_parts_of_text_are_joined(chats: Chats) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert text_of(chats, [{"role": "user", "content": parts}]) == "2026<user>a\nb"


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ("Hi", "not a list of messages"),
        ([], "not a list of messages"),
        (3, "not a list of messages"),
        (["Hi"], "without a role"),
        ([{"content": "Hi"}], "without a role"),
        ([{"role": "user", "content": 3}], "not text"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "not text"),
        ([*TALK, {"role": "system", "content": "?"}], "system comes first"),
    ],
)
def test_what_the_template_does_not_take_is_left_out(chats: Chats, messages: Any, what: str) -> None:
    with pytest.raises(RowUnusable, match=what) as left_out:
        text_of(chats, messages)
    assert left_out.value.reason == "no conversation that the chat template takes"


def test_a_row_without_conversation_has_no_text(chats: Chats) -> None:
    with pytest.raises(RowUnusable) as left_out:
        text_of(chats, None)
    assert left_out.value.reason == "no text"


def test_a_checkpoint_without_template_says_so(tmp_path: Path) -> None:
    with pytest.raises(RowUnusable, match="no chat template"):
        Chats(tmp_path).text(TALK)
