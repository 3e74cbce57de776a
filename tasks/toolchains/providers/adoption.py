"""The record of `enginery toolchain adopt`: which toolchains are served by what this host already has.

It is one file in this host's state, `toolchains.json`: per toolchain, what `[toolchains.NAME]` would say.
"""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from artifacts.settings import Settings
from tasks.errors import ToolchainSettingInvalid

Adoptions = dict[str, dict[str, Any]]
TABLES: TypeAdapter[Adoptions] = TypeAdapter(Adoptions)


def read_adoptions(settings: Settings) -> Adoptions:
    """All adoptions by toolchain; empty if nothing was ever adopted.

    Raises:
        ToolchainSettingInvalid: the record is damaged.
    """
    path = _file(settings)
    try:
        return TABLES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise ToolchainSettingInvalid(
            "the record of adopted toolchains is damaged",
            where=str(path),
            fix="delete it, and adopt again (`enginery toolchain adopt NAME PYTHON`)",
        ) from error


def adopt(name: str, table: dict[str, Any], settings: Settings) -> None:
    """Record what serves a toolchain, replacing an earlier record."""
    _write(read_adoptions(settings) | {name: table}, settings)


def forget(name: str, settings: Settings) -> bool:
    """Remove the record of a toolchain; returns whether there was one."""
    adoptions = read_adoptions(settings)
    there = adoptions.pop(name, None) is not None
    if there:
        _write(adoptions, settings)
    return there


def _write(adoptions: Adoptions, settings: Settings) -> None:
    path = _file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(adoptions, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(aside, path)  # noqa: PTH105  atomic


def _file(settings: Settings) -> Path:
    return settings.home / "toolchains.json"
