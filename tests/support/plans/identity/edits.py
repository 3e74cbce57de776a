"""Edits of a copy of the packages: each takes the directory that holds it."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Edit = Callable[[Path], None]


class _Plain(yaml.SafeDumper):
    """Writes out what appears twice: the reader of the tables takes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def changed(file: str, change: Callable[[Any], None]) -> Edit:
    """Edit a YAML file; `change` gets its content and changes it in place."""

    def edit(packages: Path) -> None:
        path = packages / file
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        change(content)
        path.write_text(yaml.dump(content, Dumper=_Plain, sort_keys=False), encoding="utf-8")

    return edit


def copied(file: str, copy: str, **other: Any) -> Edit:
    """Add a YAML file that is a copy of another but for some keys."""

    def edit(packages: Path) -> None:
        shutil.copyfile(packages / file, packages / copy)
        changed(copy, lambda content: content.update(other))(packages)

    return edit


def appended(file: str, text: str) -> Edit:
    """Append to a text file."""

    def edit(packages: Path) -> None:
        with (packages / file).open("a", encoding="utf-8") as stream:
            stream.write(text)

    return edit


def replaced(file: str, old: str, new: str) -> Edit:
    """Replace text that has to be there."""

    def edit(packages: Path) -> None:
        text = (packages / file).read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        (packages / file).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def named(rows: list[Any], name: str) -> dict[str, Any]:
    """The row of a table by its name."""
    row: dict[str, Any]
    (row,) = [row for row in rows if row["name"] == name]
    return row


def another(rows: list[Any], model: str, **other: Any) -> None:
    """Append a row that is a copy of another but for some keys."""
    rows.append(deepcopy(named(rows, model)) | other)
