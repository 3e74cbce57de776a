"""The fullest stage of a pipeline: the most chosen layers in as many consecutive ones."""

import pytest

from engine_specs.preflight.decoder import most_in_stage


@pytest.mark.parametrize(
    ("chosen", "layers", "stage", "most"),
    [
        (range(3, 61), 61, 8, 8),
        (range(3, 61), 61, 61, 58),
        (range(1, 48, 2), 48, 6, 3),
        (range(3, 48, 4), 48, 5, 2),
        ((0,), 4, 2, 1),
        ((), 4, 2, 0),
        (range(4), 4, 9, 4),
    ],
)
def test_the_fullest_stage(chosen: range, layers: int, stage: int, most: int) -> None:
    assert most_in_stage(chosen, layers, stage) == most
