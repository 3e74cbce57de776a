"""Calls that compiled code would answer by reading out of bounds are refused; the others are padded."""

import pytest

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.engine import BeyondLimits
from tasks.workers.completions_server.facts import (
    bucket_of,
    check_prompts,
    check_step,
    padded_prompts,
    row_buckets,
)

LIMITS = Shape(max_batch_size=4, max_input_len=8, max_seq_len=16, max_num_tokens=12)
VOCABULARY = 100


@pytest.mark.parametrize(
    ("most", "buckets"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_graphs_are_for_powers_of_two_and_for_all_rows(most: int, buckets: list[int]) -> None:
    assert row_buckets(most) == buckets


@pytest.mark.parametrize(("rows", "bucket"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 6), (6, 6)])
def test_a_step_runs_in_the_smallest_graph_that_holds_it(rows: int, bucket: int) -> None:
    assert bucket_of(row_buckets(6), rows) == bucket


def test_prompts_within_the_limits_are_counted() -> None:
    assert check_prompts(LIMITS, VOCABULARY, 2, [[1, 2, 3], [99]]) == [3, 1]


@pytest.mark.parametrize(
    ("first_row", "prompts"),
    [(0, []), (3, [[1], [1]]), (0, [[]]), (0, [[1] * 9]), (0, [[1] * 7, [1]]), (0, [[100]]), (0, [[-1]])],
)
def test_impossible_prompts_are_refused(first_row: int, prompts: list[list[int]]) -> None:
    with pytest.raises(BeyondLimits):
        check_prompts(LIMITS, VOCABULARY, first_row, prompts)


@pytest.mark.parametrize(
    ("tokens", "positions"),
    [([], []), ([1] * 5, [0] * 5), ([1], [16]), ([1], [-1]), ([100], [0]), ([1, 1], [0])],
)
def test_impossible_steps_are_refused(tokens: list[int], positions: list[int]) -> None:
    with pytest.raises(BeyondLimits):
        check_step(LIMITS, VOCABULARY, tokens, positions)


def test_fillers_are_at_a_position_that_nothing_reads() -> None:
    assert padded_prompts([[5, 6], [7]], 3, 16) == (
        [[5, 6, 0], [7, 0, 0]],
        [[0, 1, 16], [0, 16, 16]],
    )
