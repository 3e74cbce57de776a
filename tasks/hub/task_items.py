"""The questions of a task: lines of `items.jsonl`, made of rows by the fields that a spec names.

Invariants:
- A row that lacks a field, or whose label names none of its options, is an error and never left out.
- An item holds what is asked and what is right, so the digest of the tree says both.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Any, NoReturn

from pydantic import Field

from artifacts.progress import Say
from engine_specs.spec import Task, template_fields
from tasks.errors import TextsInvalid
from tasks.hub.access import HubAccess
from tasks.hub.rows import Location, Row, TextsReport, fetch_rows, name_of

ITEMS_FILE = "items.jsonl"


class TaskItem(Row):
    """One question with its answer."""

    prompt: str = Field(min_length=1, description="What is asked.")
    options: tuple[str, ...] = Field(default=(), description="Options, if one of them is the answer.")
    label: int | None = Field(default=None, ge=0, description="Index of the right option.")
    answers: tuple[str, ...] = Field(default=(), description="Right answers, if the answer is generated.")
    sources: tuple[str, ...] = Field(description="Texts of the fields that the prompt names.")


def fetch_items(task: Task, location: Location, dest: Path, *, access: HubAccess, say: Say) -> TextsReport:
    """Choose the rows that a task asks for, and write its questions to `dest` with a report.

    Raises what `fetch_rows` raises.
    """
    read = partial(read_item, task=task)
    named = (task.options_field, task.label_field, task.labels_field, task.answer_field)
    fields = (*template_fields(task.prompt), *(field for field in named if field is not None))
    return fetch_rows(
        task, location, dest, read=read, fields=fields, file_name=ITEMS_FILE, access=access, say=say
    )


def parse_items(content: bytes) -> tuple[TaskItem, ...]:
    """Return the questions of the content of `items.jsonl`."""
    return tuple(TaskItem.model_validate_json(line) for line in content.splitlines())


def read_item(row: dict[str, Any], place: str, *, task: Task) -> TaskItem:
    """Return the question of one row; `place` is FILE:LINE.

    Raises:
        TextsInvalid: a field that the task names is missing, or holds something else.
    """
    reader = _Reader(row, place, task)
    name = name_of(row, place)
    sources = {field: reader.text(field, "prompt") for field in template_fields(task.prompt)}
    prompt = _filled(task.prompt, sources)
    own = tuple(sources.values())
    if task.form == "exact-match":
        return TaskItem(id=name, prompt=prompt, answers=reader.answers(), sources=own)
    options = reader.options()
    return TaskItem(id=name, prompt=prompt, options=options, label=reader.label(options), sources=own)


def _filled(template: str, values: dict[str, str]) -> str:
    """Fill in a template; a dot in a name is part of it, and not an attribute."""
    parts = Formatter().parse(template)
    return "".join(literal + ("" if name is None else values[name]) for literal, name, _, _ in parts)


class _Reader:
    """Reads the fields of one row; errors name row, field and setting."""

    def __init__(self, row: dict[str, Any], place: str, task: Task) -> None:
        self._row, self._place, self._task = row, place, task

    def text(self, field: str, setting: str) -> str:
        found = self._value(field, setting)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            self._refuse(f"field {field!r} holds {_shown(found)}", setting, "a text or a number")
        return str(found)

    def answers(self) -> tuple[str, ...]:
        field = str(self._task.answer_field)
        found = self._value(field, "answer_field")
        if not isinstance(found, list):
            return (self.text(field, "answer_field"),)
        if not found or not all(isinstance(one, str) for one in found):
            self._refuse(
                f"field {field!r} holds {_shown(found)}", "answer_field", "a text or a list of texts"
            )
        return tuple(found)

    def options(self) -> tuple[str, ...]:
        return self._texts(str(self._task.options_field), "options_field")

    def label(self, options: tuple[str, ...]) -> int:
        """Return the index of the right option."""
        field = str(self._task.label_field)
        found = self._value(field, "label_field")
        names = options
        if self._task.labels_field is not None:
            names = self._texts(self._task.labels_field, "labels_field")
            if len(names) != len(options):
                self._refuse(
                    f"{len(names)} names for {len(options)} options", "labels_field", "one per option"
                )
        index = _index(found, names, by_number=self._task.labels_field is None)
        if index is None or not 0 <= index < len(options):
            self._refuse(
                f"field {field!r} holds {_shown(found)}, which is not one of {len(options)} options",
                "label_field",
                f"an index from 0, or one of {', '.join(map(repr, names))}"[:200],
            )
        return index

    def _texts(self, field: str, setting: str) -> tuple[str, ...]:
        found = self._value(field, setting)
        if not isinstance(found, list) or len(found) < 2 or not all(isinstance(one, str) for one in found):
            self._refuse(f"field {field!r} holds {_shown(found)}", setting, "a list of two texts or more")
        return tuple(found)

    def _value(self, field: str, setting: str) -> Any:
        """Return the value of a field; a dot reaches into an object."""
        found: Any = self._row
        for part in (field,) if field in self._row else field.split("."):
            if not isinstance(found, dict) or part not in found:
                known = ", ".join(_fields(self._row))
                self._refuse(f"this row has no field {field!r}", setting, f"one of its fields: {known}")
            found = found[part]
        return found

    def _refuse(self, found: str, setting: str, accepted: str) -> NoReturn:
        raise TextsInvalid(
            f"{found} (task {self._task.name})",
            where=self._place,
            fix=f"let `{setting}` of validation.tasks name {accepted}",
        )


def _index(found: Any, names: tuple[str, ...], *, by_number: bool) -> int | None:
    """Return the index that a label names: by text, otherwise as a number."""
    if isinstance(found, str) and names.count(found) == 1:
        return names.index(found)
    if not by_number:
        return names.index(str(found)) if str(found) in names else None
    if isinstance(found, str) and found.isdecimal():
        return int(found)
    return found if type(found) is int else None


def _fields(row: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in row.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")


def _shown(value: Any) -> str:
    return repr(value)[:80]
