"""Reading keys of a config.json, and the problem of one that is missing."""

from collections.abc import Mapping
from typing import Any

from engine_specs.reading import Problem

Config = Mapping[str, Any]


def first(config: Config, keys: tuple[str, ...]) -> Any:
    """Return the value of the first of these keys that is there and not null; None if none is."""
    return next((config[key] for key in keys if config.get(key) is not None), None)


def is_size(value: object) -> bool:
    """Whether it is a whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def unknown(keys: str) -> Problem:
    """Make the problem of a config.json that lacks a key."""
    return Problem(
        "checkpoint.repo", f"a config.json without {keys}", "a checkpoint whose config.json gives them"
    )


def decoder_config(config: Config) -> dict[str, Any]:
    """Return what a config.json says of its decoder: of a model that also reads images, its text_config.

    What stands next to text_config (architectures, how weights are stored) holds for the decoder too.
    """
    nested = config.get("text_config")
    if not isinstance(nested, Mapping):
        return dict(config)
    whole = {key: value for key, value in config.items() if key not in ("text_config", "model_type")}
    said = {key: value for key, value in nested.items() if value is not None}
    return {**whole, **dict.fromkeys(nested), **said, "architectures": config.get("architectures")}
