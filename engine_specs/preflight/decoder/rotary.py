"""How positions are rotated, and whether config.json gives what that is computed from.

Source: transformers 5.19.0, with which vLLM reads config.json, modeling_rope_utils.py (keys of each scaling),
and vllm 0.32.0, model_executor/layers/rotary_embedding (types that it scales by).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from engine_specs.preflight.decoder.keys import Config, is_size, unreadable
from engine_specs.reading import Problem

# What a scaling cannot be computed without, by its type. For factors of each frequency, see `_lists`.
NUMBERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "longrope": (),
}
LISTS = ("short_factor", "long_factor")
# Names of a scaling in older files.
OLDER_NAMES = {"su": "longrope"}


def rope_scalings(config: Config) -> tuple[Mapping[str, Any], ...]:
    """Return how rotary positions are scaled, in either spelling: once, or once for each type of layer.

    If both spellings are there, transformers takes the older one (5.19.0, modeling_rope_utils.py).
    """
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(scaling, Mapping):
        return ()
    by_layer = [one for one in scaling.values() if isinstance(one, Mapping)]
    return tuple(by_layer) if by_layer and len(by_layer) == len(scaling) else (scaling,)


def rope_scaling(config: Config) -> Mapping[str, Any]:
    """Return how rotary positions are scaled, on layers that are; empty if none are."""
    found = rope_scalings(config)
    return next((one for one in found if type_of_scaling(one) != "default"), next(iter(found), {}))


def rope_type(config: Config) -> str:
    """Return the name of that scaling; `default` if there is none."""
    return type_of_scaling(rope_scaling(config))


def type_of_scaling(scaling: Mapping[str, Any]) -> str:
    """Return the name of a scaling; `default` if it has none."""
    named = str(scaling.get("rope_type") or scaling.get("type") or "default")
    return OLDER_NAMES.get(named, named)


def rotary_problems(config: Config) -> Iterator[Problem]:
    """Yield scalings that vLLM does not know, or that lack what they are computed from."""
    for key in ("rope_scaling", "rope_parameters"):
        if config.get(key) is not None and not isinstance(config[key], Mapping):
            yield unreadable(key, config[key], "a mapping")
    for scaling in rope_scalings(config):
        yield from _scaling(config, scaling)


def _scaling(config: Config, scaling: Mapping[str, Any]) -> Iterator[Problem]:
    found = type_of_scaling(scaling)
    if found not in NUMBERS:
        yield unreadable("rope type", found, f"one that vLLM scales by: {', '.join(NUMBERS)}")
        return
    for key in NUMBERS[found]:
        if not _is_factor(scaling.get(key)):
            yield unreadable(f"{key} of {found} scaling", scaling.get(key), "a number above 0")
    original = scaling.get("original_max_position_embeddings")
    if original is not None and not is_size(original):
        yield unreadable("original_max_position_embeddings", original, "a whole number from 1")
    if found == "longrope":
        yield from _lists(config, scaling)


def _lists(config: Config, scaling: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield factors of longrope that are not one number for each pair of a head's dimensions."""
    pairs = _rotary_width(config) // 2
    for key in LISTS:
        factors = scaling.get(key)
        listed = isinstance(factors, list | tuple) and all(_is_factor(one) for one in factors)
        if not listed or (pairs and len(factors or ()) != pairs):
            found = f"{len(factors)} factors" if isinstance(factors, list | tuple) else factors
            yield unreadable(key, found, f"a list of {pairs or 'positive'} numbers")


def _rotary_width(config: Config) -> int:
    """Return how many dimensions of a head are rotated; 0 if config.json does not give sizes."""
    if is_size(rotated := config.get("qk_rope_head_dim")):
        return rotated
    hidden, heads, head = (config.get(key) for key in ("hidden_size", "num_attention_heads", "head_dim"))
    if not is_size(head):
        head = hidden // heads if is_size(hidden) and is_size(heads) else 0
    share = config.get("partial_rotary_factor")
    return int(head * (share if _is_factor(share) else 1))


def _is_factor(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
