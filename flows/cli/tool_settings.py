"""Variables of the libraries that we use, where a wrong one keeps a library from being imported.

Prefect and the Hub's client read theirs while they are imported, and fail by exceptions of their own.
"""

import os
import traceback

from pydantic import ValidationError

# What the variables of a library begin with, and where else its values may come from.
PREFIXES = {"prefect": "PREFECT_", "huggingface_hub": "HF_"}
ELSEWHERE = {"prefect": "; `prefect config view` shows what comes from a profile or a file"}
# Of settings that depend on another one, whose own problem is told.
FOLLOWS = "default_factory_not_called"


def refused_settings(error: ValueError) -> str | None:
    """What a library has against its variables; None if the error is not of one that was being imported."""
    package = _imported_package(error)
    if package not in PREFIXES:
        return None
    prefix = PREFIXES[package]
    there = ", ".join(sorted(name for name in os.environ if name.startswith(prefix))) or "none is set"
    return (
        f"{package} cannot be loaded with its settings: {_problems(error)}\n"
        f"  where: variables {prefix}* ({there})\n"
        f"  fix: correct or unset the wrong one{ELSEWHERE.get(package, '')}"
    )


def _imported_package(error: ValueError) -> str:
    """The package that was being imported when a value was refused; empty if none was."""
    for frame, _line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code.co_name == "<module>" and package in PREFIXES:
            return package
    return ""


def _problems(error: ValueError) -> str:
    """What is wrong with which setting; not the values, which may hold passwords."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors() if one["type"] != FOLLOWS
    )
