"""Layers of a kind in one stage of a pipeline."""

from collections.abc import Collection


def most_in_stage(chosen: Collection[int], layers: int, stage: int) -> int:
    """Return how many of the chosen layers any stage holds at most.

    Args:
        chosen: layers, counted from 0.
        layers: all layers of the model.
        stage: consecutive layers of the longest stage.
    """
    starts = range(max(1, layers - stage + 1))
    return max(sum(start <= layer < start + stage for layer in chosen) for start in starts)
