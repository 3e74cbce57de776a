"""Layers that look back a few tokens only: sliding windows, and Llama 4's chunks, as vLLM serves them.

Windows that a server gets are a list, repeated over the layers; full attention is a window of the whole
sequence.
"""

from collections.abc import Iterator

from engine_specs.preflight.decoder.keys import Config, first, is_size, unreadable
from engine_specs.reading import Problem
from engine_specs.tables import defaults_of, with_defaults

FULL = "full_attention"
# A chunk is like a window: within the first one, attention is full.
SIZES = ("sliding_window", "attention_chunk_size")


def sliding_window(config: Config) -> int | None:
    """Return how many tokens the layers with a window look back to; None if no layer has one."""
    filled, row = with_defaults(config), defaults_of(config)
    size = first(filled, SIZES)
    if not size or not isinstance(size, int) or row is None:
        return None
    if layer_types := filled.get("layer_types"):
        return size if any(one != FULL for one in layer_types) else None
    if row.windows == "every-layer":
        return size
    start = filled.get("max_window_layers") or 0
    asked = row.windows == "if-asked" and filled.get("use_sliding_window")
    return size if asked and start < (filled.get("num_hidden_layers") or 0) else None


def full_layers(config: Config) -> tuple[int, ...]:
    """Return the layers that attend to the whole sequence, counted from 0."""
    filled, row = with_defaults(config), defaults_of(config)
    count = filled.get("num_hidden_layers") or 1
    if sliding_window(config) is None or row is None:
        return tuple(range(count))
    if layer_types := filled.get("layer_types"):
        return tuple(layer for layer in range(count) if layer_types[layer % len(layer_types)] == FULL)
    if rotary := filled.get("no_rope_layers"):  # Llama 4: layers without positions have no chunks
        return tuple(layer for layer in range(count) if not rotary[layer % len(rotary)])
    if row.windows == "every-layer":
        every = row.full_attention_every
        return tuple(layer for layer in range(count) if every and (layer + 1) % every == 0)
    return tuple(range(filled.get("max_window_layers") or 0))


def attention_windows(config: Config, longest: int) -> list[int]:
    """Return how far layers look back, as the shortest list that repeats over them; all look back `longest`.

    Args:
        config: of the checkpoint.
        longest: tokens of the longest sequence, which stand for full attention.
    """
    window = sliding_window(config)
    if window is None:
        return [longest]
    count, full = with_defaults(config).get("num_hidden_layers") or 1, set(full_layers(config))
    sizes = [longest if layer in full else min(window, longest) for layer in range(count)]
    repeats = (n for n in range(1, count + 1) if all(one == sizes[i % n] for i, one in enumerate(sizes)))
    return sizes[: next(repeats)]


def window_problems(config: Config) -> Iterator[Problem]:
    """Yield sizes and layers of windows that cannot be read, or that vLLM refuses.

    Args:
        config: with the defaults of its model type.
    """
    for key in (*SIZES, "max_window_layers"):
        if config.get(key) not in (None, 0) and not is_size(config[key]):
            yield unreadable(key, config[key], "a whole number from 0, or null")
    yield from _layer_types(config)
    yield from _mixed_windows(config)


def _layer_types(config: Config) -> Iterator[Problem]:
    found, layers = config.get("layer_types"), config.get("num_hidden_layers")
    if found is None:
        return
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        yield unreadable("layer_types", found, "a list of names, one for each layer")
    elif is_size(layers) and len(found) != layers:
        yield unreadable("layer_types", f"of {len(found)} layers", f"{layers} names, as there are layers")


def _mixed_windows(config: Config) -> Iterator[Problem]:
    """Yield windows on some layers only of a model that vLLM serves with windows on all layers or none."""
    row = defaults_of(config)
    asked = row is not None and row.windows == "if-asked" and config.get("use_sliding_window")
    start, layers = config.get("max_window_layers"), config.get("num_hidden_layers")
    if not asked or not config.get("sliding_window"):
        return
    types = config.get("layer_types")
    if isinstance(types, list | tuple):
        mixed = len(set(map(str, types))) > 1
    else:
        mixed = is_size(start) and is_size(layers) and start < layers
    if mixed:
        found = "sliding-window attention on some layers only in config.json"
        accepted = (
            "a checkpoint with windows on all layers or on none (use_sliding_window: false): vLLM, the "
            f"reference, refuses {config.get('model_type')} otherwise"
        )
        yield Problem("checkpoint.repo", found, accepted)
