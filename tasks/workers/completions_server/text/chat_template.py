"""The checkpoint's own chat template: messages become the text that the model was trained on.

Invariants:
- It is the template that transformers would use: `chat_template.jinja`, otherwise `chat_template` of
  `tokenizer_config.json`, there the one called `default` if there are several.
- It comes with the checkpoint, so it runs in jinja2's sandbox, with the filters and functions that
  transformers gives it and nothing else.
- A template is compiled once. Rendering is safe in several threads at once.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
from jinja2 import nodes
from jinja2.parser import Parser

TEMPLATE_FILE, CONFIG_FILE = "chat_template.jinja", "tokenizer_config.json"
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class TemplateRefused(Exception):
    """The template does not take these messages, or there is none; the message is the reason."""


class ChatTemplate:
    """The template of one engine tree."""

    def __init__(self, tree: Path) -> None:
        config = _read_config(tree)
        self._tokens = {name: _spelled(config[name]) for name in SPECIAL_TOKENS if config.get(name)}
        source, self._refusal, self._template = _source(tree, config), "", None
        if source is None:
            self._refusal = (
                f"this model has no chat template: its checkpoint has neither {TEMPLATE_FILE} nor "
                f"chat_template in {CONFIG_FILE}. Use /v1/completions, or build the engine from a checkpoint "
                "that has one"
            )
            return
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as error:
            self._refusal = f"the checkpoint's chat template is invalid: {error}"

    def render(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        """The prompt.

        Args:
            messages: each with `role` and `content`, a text, as the template expects them.
            variables: further variables of the template, such as `add_generation_prompt`.

        Raises:
            TemplateRefused: there is no template, or it does not take these messages.
        """
        if self._template is None:
            raise TemplateRefused(self._refusal)
        given = {"tools": None, "documents": None, **self._tokens, **variables}
        try:
            return self._template.render(messages=list(messages), **given)
        # A template is a program: whatever it raises is about these messages.
        except Exception as error:
            raise TemplateRefused(f"the chat template does not take these messages: {error}") from error


def _read_config(tree: Path) -> dict[str, Any]:
    path = tree / CONFIG_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _source(tree: Path, config: Mapping[str, Any]) -> str | None:
    if (tree / TEMPLATE_FILE).is_file():
        return (tree / TEMPLATE_FILE).read_text(encoding="utf-8")
    named = config.get("chat_template")
    if isinstance(named, list):
        return next((str(one["template"]) for one in named if one["name"] == "default"), None)
    return None if named is None else str(named)


def _spelled(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


class _Generation(jinja2.ext.Extension):
    """Takes `{% generation %}` blocks, which mark answers for training, as their content."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the nodes of the block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    return environment


def _to_json(value: Any, **options: Any) -> str:
    """JSON that is not escaped for HTML, as jinja2's own filter would be."""
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005  local time, as transformers gives it
