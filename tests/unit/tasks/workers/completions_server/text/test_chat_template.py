"""The chat templates of checkpoints."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.workers.completions_server.text.chat_template import ChatTemplate, TemplateRefused

MESSAGES = [{"role": "system", "content": "<&>"}, {"role": "user", "content": "hi"}]
CHATML = (
    "{{ bos_token }}\n{% for message in messages %}\n"
    "    {%- if message.role == 'nobody' %}{{ raise_exception('who is nobody?') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def template(folder: Path, source: str | None = None, **config: Any) -> ChatTemplate:
    if source is not None:
        (folder / "chat_template.jinja").write_text(source)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return ChatTemplate(folder)


def test_messages_become_a_prompt_as_transformers_writes_it(tmp_path: Path) -> None:
    made = template(tmp_path, CHATML, bos_token={"content": "<s>"}).render(
        MESSAGES, {"add_generation_prompt": True}
    )
    assert made == (
        "<s>\n<|im_start|>system\n<&><|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "config",
    [
        {"chat_template": "{{ messages[1].content }}"},
        {"chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "hi"}]},
    ],
)
def test_it_may_be_in_the_configuration_of_the_tokenizer(tmp_path: Path, config: dict[str, Any]) -> None:
    assert template(tmp_path, **config).render(MESSAGES, {}) == "hi"


def test_the_file_comes_first(tmp_path: Path) -> None:
    assert template(tmp_path, "file", chat_template="configuration").render(MESSAGES, {}) == "file"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages | tojson }}", json.dumps(MESSAGES, ensure_ascii=False)),
        ("{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}x{% endfor %}", "x"),
        ("{% generation %}answer{% endgeneration %}", "answer"),
        ("{{ strftime_now('%%') }}{{ tools is none }}{{ style }}", "%Truecurt"),
    ],
)
def test_templates_have_what_transformers_gives_them(tmp_path: Path, source: str, expected: str) -> None:
    assert template(tmp_path, source).render(MESSAGES, {"style": "curt"}) == expected


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "no chat template.*Use /v1/completions"),
        ("{% if %}", "invalid"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[9].content.text }}", "does not take these messages"),
        ("{{ messages.append(1) }}", "does not take these messages"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "does not take these messages"),
    ],
)
def test_what_cannot_be_rendered_is_refused_with_the_reason(
    tmp_path: Path, source: str | None, said: str
) -> None:
    with pytest.raises(TemplateRefused, match=said):
        template(tmp_path, source).render(MESSAGES, {})
