"""Errors in the variables of libraries, which keep a library from being imported.

Prefect and the Hub's client read their variables while they are imported, and raise exceptions of their own.
"""

import os
import traceback

from pydantic import ValidationError

# The prefix of a library's variables, and where else its settings may come from.
PREFIXES = {"prefect": "PREFECT_", "huggingface_hub": "HF_"}
ELSEWHERE = {"prefect": "; `prefect config view` shows what comes from a profile or a file"}
# The error of a setting whose default depends on an invalid one, which is reported itself.
CONSEQUENCE = "default_factory_not_called"


def refused_settings(error: ValueError) -> str | None:
    """Explain the error of a library that rejects its variables; None if the error is of another kind."""
    package = _imported_package(error)
    if package not in PREFIXES:
        return None
    prefix = PREFIXES[package]
    names = ", ".join(sorted(name for name in os.environ if name.startswith(prefix))) or "none is set"
    return (
        f"{package} cannot be loaded with its settings: {_problems(error)}\n"
        f"  where: variables {prefix}* ({names})\n"
        f"  fix: correct or unset the wrong one{ELSEWHERE.get(package, '')}"
    )


def _imported_package(error: ValueError) -> str:
    """Return the package that was being imported when a value was refused; empty if none was."""
    for frame, _line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code.co_name == "<module>" and package in PREFIXES:
            return package
    return ""


def _problems(error: ValueError) -> str:
    """Say what is wrong with which setting, without the values, which may hold passwords."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        for problem in error.errors()
        if problem["type"] != CONSEQUENCE
    )
