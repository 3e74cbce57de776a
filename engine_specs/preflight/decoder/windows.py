"""Layers that look back a few tokens only: sliding windows, and Llama 4's chunks.

Windows that a server is told of are a list, repeated over the layers; full attention is a window of the whole
sequence.
"""

from engine_specs.preflight.decoder.keys import Config, first
from engine_specs.tables import defaults_of, with_defaults

FULL = "full_attention"
# A chunk is like a window: within the first one, attention is full.
SIZES = ("sliding_window", "attention_chunk_size")


def sliding_window(config: Config) -> int | None:
    """Return how many tokens the layers with a window look back to; None if no layer has one."""
    filled, row = with_defaults(config), defaults_of(config)
    size = first(filled, SIZES)
    if not isinstance(size, int) or row is None:
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
