"""Rows of the batch: whoever comes and goes, each sequence gets its own tokens."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engines.fake_engine import FakeEngine, continuation

from tasks.workers.completions_server.batching.batch import (
    Batcher,
    Event,
    Failed,
    Iterations,
    Sequence,
    group_size,
)
from tasks.workers.completions_server.engine import Sampling
from tasks.workers.completions_server.protocol.records import Generation

WAIT_S = 10.0


def request(prompt: list[int], max_tokens: int, *, ignore_eos: bool = False) -> Generation:
    return Generation(tuple(prompt), max_tokens, ignore_eos=ignore_eos)


def submit(batcher: Batcher, prompt: list[int], max_tokens: int, *, ignore_eos: bool = False) -> Sequence:
    return batcher.submit(request(prompt, max_tokens, ignore_eos=ignore_eos))[0]


@contextmanager
def running(engine: FakeEngine) -> Iterator[Batcher]:
    batcher = Batcher(engine)
    thread = threading.Thread(target=batcher.run)
    thread.start()
    try:
        yield batcher
    finally:
        batcher.stop()
        if engine.gate is not None:
            engine.gate.release(10_000)
        thread.join(WAIT_S)
        assert not thread.is_alive()


def collect(sequence: Sequence) -> list[Event]:
    events: list[Event] = []
    while not events or events[-1].finish is None:
        event = sequence.events.get(timeout=WAIT_S)
        assert isinstance(event, Event), event
        events.append(event)
    return events


asked = st.lists(
    st.tuples(st.lists(st.integers(1, 100), min_size=1, max_size=9), st.integers(1, 8)),
    min_size=1,
    max_size=9,
)


@given(asked, st.integers(1, 4), st.integers(1, 30))
def test_every_sequence_gets_its_own_continuation(
    requests: list[tuple[list[int], int]], rows: int, budget: int
) -> None:
    with running(FakeEngine(max_batch_size=rows, max_num_tokens=budget)) as batcher:
        sequences = [submit(batcher, prompt, count) for prompt, count in requests]
        for sequence, (prompt, count) in zip(sequences, requests, strict=True):
            events = collect(sequence)
            assert [event.token for event in events] == continuation(prompt, count)
            assert events[-1].finish == "length"


def test_what_was_done_is_said_in_a_sentence() -> None:
    with running(FakeEngine()) as batcher:
        collect(submit(batcher, [5, 6], 3))
    said = batcher.iterations.in_words("0.2 s of it waiting for the GPU")
    found = re.fullmatch(
        r"The engine took \d+\.\d s on 2 steps for 2 tokens \(0\.2 s of it waiting for the GPU\) and "
        r"\d+\.\d s on reading 1 prompt; there was work for \d+\.\d s\.",
        said,
    )
    assert found, said
    assert Iterations().in_words() == (
        "The engine took 0.0 s on 0 steps for 0 tokens and 0.0 s on reading 0 prompts; there was work for "
        "0.0 s."
    )


def test_the_end_token_ends_unless_it_is_ignored() -> None:
    with running(FakeEngine(ends_after=3)) as batcher:
        stopped = collect(submit(batcher, [5, 6], 6))
        ignored = collect(submit(batcher, [5, 6], 6, ignore_eos=True))
    assert [event.finish for event in stopped] == [None, "stop"]
    assert (len(ignored), ignored[-1].finish) == (6, "length")


def test_only_rows_that_draw_are_chosen_for() -> None:
    engine = FakeEngine()
    drawn = Generation((2,), 4, sampling=Sampling(temperature=1.0, seed=5))
    with running(engine) as batcher:
        greedy = submit(batcher, [1], 4)
        collect(greedy)
        assert engine.chosen == []
        first, again = (collect(batcher.submit(drawn)[0]) for _ in range(2))
        plain, neighbour = batcher.submit(request([1], 4), drawn)
        shared = collect_all(plain, 2)
    assert {len(rows) for rows in engine.chosen} == {1}
    tokens = [event.token for event in first]
    assert tokens == [event.token for event in again] == shared[neighbour.index]
    assert tokens != continuation([2], 4)
    assert shared[plain.index] == continuation([1], 4)


def collect_all(sequence: Sequence, count: int) -> dict[int, list[int]]:
    """The tokens of all sequences of a request, by their index."""
    tokens: dict[int, list[int]] = {}
    while count:
        event = sequence.events.get(timeout=WAIT_S)
        assert isinstance(event, Event), event
        tokens.setdefault(event.choice, []).append(event.token)
        count -= event.finish is not None
    return tokens


def test_a_newcomer_joins_while_others_generate() -> None:
    engine = FakeEngine(gate=threading.Semaphore(0))
    with running(engine) as batcher:
        first = submit(batcher, [1], 5)
        engine.gate.release(2)
        first.events.get(timeout=WAIT_S)
        first.events.get(timeout=WAIT_S)
        second = submit(batcher, [2], 2)
        engine.gate.release(20)
        assert len(collect(second)) == 2
        assert len(collect(first)) == 3
    assert ("decode", 2) in engine.calls


def test_a_cancelled_sequence_leaves_its_row_to_others() -> None:
    engine = FakeEngine(max_batch_size=1, gate=threading.Semaphore(0))
    with running(engine) as batcher:
        abandoned = submit(batcher, [1], 1000)
        engine.gate.release(2)
        abandoned.events.get(timeout=WAIT_S)
        waiting = submit(batcher, [2], 2)
        abandoned.leave("abort")
        engine.gate.release(10)
        assert [event.token for event in collect(waiting)] == continuation([2], 2)


def test_a_broken_iteration_ends_its_sequences_and_not_the_server() -> None:
    engine = FakeEngine(fails=True)
    with running(engine) as batcher:
        failed = submit(batcher, [1], 2).events.get(timeout=WAIT_S)
        engine.fails = False
        assert len(collect(submit(batcher, [1], 2))) == 2
    assert isinstance(failed, Failed)
    assert "the graph broke" in failed.reason


def test_stopping_reaches_those_who_wait() -> None:
    engine = FakeEngine(max_batch_size=1, gate=threading.Semaphore(0))
    with running(engine) as batcher:
        sequences = [submit(batcher, [1], 100) for _ in range(2)]
    for sequence in sequences:
        events = [sequence.events.get(timeout=WAIT_S)]
        while not isinstance(events[-1], Failed):
            events.append(sequence.events.get(timeout=WAIT_S))
        assert "shutting down" in events[-1].reason


@pytest.mark.parametrize(
    ("lengths", "free", "budget", "expected"),
    [
        ([], 4, 10, 0),
        ([3, 3], 0, 10, 0),
        ([3, 3, 3], 2, 100, 2),
        ([3, 5, 1], 3, 10, 2),
        ([50], 1, 10, 1),
        ([2, 9], 2, 17, 1),
    ],
)
def test_prompts_are_read_together_within_the_budget(
    lengths: list[int], free: int, budget: int, expected: int
) -> None:
    assert group_size(lengths, free, budget) == expected
