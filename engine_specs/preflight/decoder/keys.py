"""Reading keys of a config.json, and the problem of one that is missing."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from engine_specs.reading import Problem

Config = Mapping[str, Any]
# No size of a model is as large; what is computed from sizes then stays small.
LARGEST_SIZE = 2**31


def first(config: Config, keys: tuple[str, ...]) -> Any:
    """Return the value of the first of these keys that is there and not null; None if none is."""
    return next((config[key] for key in keys if config.get(key) is not None), None)


def is_size(value: object) -> TypeGuard[int]:
    """Whether it is a whole number from 1 on that a size of a model may be."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_SIZE


def unknown(keys: str) -> Problem:
    """Make the problem of a config.json that lacks a key."""
    return Problem(
        "checkpoint.repo", f"a config.json without {keys}", "a checkpoint whose config.json gives them"
    )


def unreadable(key: str, found: object, accepted: str) -> Problem:
    """Make the problem of a key whose value no tool can read."""
    said = "absent or null" if found is None else found if isinstance(found, str) else repr(found)
    return Problem("checkpoint.repo", f"{key} {said} in config.json", f"a checkpoint that has {accepted}")


def decoder_config(config: Config) -> dict[str, Any]:
    """Return what a config.json says of its decoder: of a model that also reads images, its text_config.

    What stands next to text_config (architectures, how weights are stored) holds for the decoder too.
    """
    nested = config.get("text_config")
    if not isinstance(nested, Mapping):
        return dict(config)
    replaced = ("text_config", "model_type") if nested.get("model_type") else ("text_config",)
    whole = {key: value for key, value in config.items() if key not in replaced}
    said = {key: value for key, value in nested.items() if value is not None}
    return {**whole, **dict.fromkeys(nested), **said, "architectures": config.get("architectures")}
