"""A run of this process that somebody cancels in Prefect ends, and is Cancelled."""

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Cancelling
from support.servers.prefect_database import prefect_harness

from flows.prefect_run import cancellable, cancellation, settle_cancelled

LIMIT_S = 300


@pytest.fixture(scope="module", autouse=True)
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with prefect_harness(tmp_path_factory.mktemp("prefect")):
        yield


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "EVERY_S", 0.2)


def cancel(run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Cancelling())


def state_of(run_id: UUID) -> str:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
    assert state is not None
    return str(state.name)


@pytest.mark.parametrize("sigint", [signal.default_int_handler, signal.SIG_IGN], ids=["shown", "background"])
def test_a_cancelled_run_is_interrupted_and_ends_as_cancelled(sigint: Any) -> None:
    runs: list[UUID] = []
    before = signal.signal(signal.SIGINT, sigint)
    begin = time.monotonic()

    @flow(on_crashed=[settle_cancelled])
    def lasts() -> None:
        runs.append(UUID(flow_run.get_id()))
        with cancellable():
            cancel(runs[0])
            time.sleep(LIMIT_S)
            raise AssertionError("it went on")

    try:
        with pytest.raises(KeyboardInterrupt):
            lasts()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < LIMIT_S, "it was not interrupted, but had slept enough"
    assert state_of(runs[0]) == "Cancelled"


def test_a_run_that_nobody_cancels_is_left_alone() -> None:
    @flow(on_crashed=[settle_cancelled])
    def ends() -> str:
        with cancellable():
            time.sleep(1)
            return "done"

    assert ends() == "done"


def test_a_run_that_crashes_by_itself_stays_crashed() -> None:
    runs: list[UUID] = []

    @flow(on_crashed=[settle_cancelled])
    def crashes() -> None:
        runs.append(UUID(flow_run.get_id()))
        with cancellable():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crashes()
    assert state_of(runs[0]) == "Crashed"


def test_a_run_within_another_one_and_a_run_of_a_worker_are_ended_by_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def watched() -> bool:
        return any(thread.name == "cancellation" for thread in threading.enumerate())

    @flow
    def inner() -> bool:
        with cancellable():
            return watched()

    @flow
    def outer() -> bool:
        return inner()

    assert inner()
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "a worker's")
    assert not inner()
    monkeypatch.undo()
    assert not outer()
