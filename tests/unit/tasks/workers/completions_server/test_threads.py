"""Threads are chosen by what was measured, the fewest that are worth it."""

from types import SimpleNamespace

import pytest

from tasks.workers.completions_server import threads
from tasks.workers.completions_server.threads import (
    ThreadPlan,
    cheapest,
    measure_threads,
    powers_of_two_below,
)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({1: 1.0}, 1), ({1: 1.0, 2: 0.95}, 1), ({1: 1.0, 2: 0.6, 4: 0.58}, 2), ({1: 1.0, 2: 1.5, 4: 0.4}, 4)],
)
def test_the_fewest_threads_that_are_worth_it(seconds: dict[int, float], chosen: int) -> None:
    assert cheapest(seconds) == chosen


def test_candidates_are_powers_of_two() -> None:
    assert [powers_of_two_below(limit) for limit in (1, 2, 3, 8, 9)] == [
        [],
        [1],
        [1, 2],
        [1, 2, 4],
        [1, 2, 4, 8],
    ]


class Clock:
    """An engine that takes the time it says: threads help many rows and prompts, and hurt single ones."""

    def __init__(self) -> None:
        self.limits = SimpleNamespace(max_batch_size=4, max_seq_len=8, max_input_len=4096)
        self.now = 0.0
        self.threads = 0
        self.iterations = 0
        self.longest = 0

    def use(self, count: int) -> None:
        self.threads = count

    def decode(self, tokens: list[int], positions: list[int]) -> None:
        assert set(positions) == {7}
        self.iterations += 1
        self.now += len(tokens) / max(self.threads, 1) + 0.8 * self.threads

    def prefill(self, first_row: int, prompts: list[list[int]]) -> None:
        self.now += 100 / max(self.threads, 1)
        self.iterations += 1
        self.longest = max(self.longest, *map(len, prompts))


def test_a_large_model_is_measured_once_per_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clock()
    monkeypatch.setattr(threads.time, "perf_counter", lambda: engine.now)
    monkeypatch.setattr(threads, "BUDGET_S", 0.0)
    measure_threads(engine, 2, engine.use)
    # One iteration to prepare and one per candidate, for 1, 2 and 4 rows and for a prompt.
    assert engine.iterations == 4 * (1 + 2)
    assert engine.longest == threads.PROMPT_TOKENS


def test_rows_follow_the_measured_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Clock()
    monkeypatch.setattr(threads.time, "perf_counter", lambda: engine.now)
    assert measure_threads(engine, 2, engine.use) == ThreadPlan(prefill=2, decode=(1, 1, 1, 2))
