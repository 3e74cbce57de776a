"""Which runs count as lost: by injected runs and this host's own processes."""

import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from flows.stack.components.orphans import Run, RunState, _owner, runs_of_commands

HERE = socket.gethostname()


def run(pid: str | None, *, started: datetime | None = None, state: str = "RUNNING") -> Run:
    now = datetime.now(UTC)
    state_then = RunState(type=state, timestamp=started or now)
    return Run(id=uuid4(), name="r", infrastructure_pid=pid, start_time=started or now, state=state_then)


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("spelled", [f"{os.getpid()}", f"{HERE}:{os.getpid()}"], ids=["pid", "host and pid"])
def test_a_living_process_owns_its_run(spelled: str) -> None:
    process, _ = _owner(run(spelled))
    assert process is not None
    assert process.pid == os.getpid()


def test_a_run_whose_process_is_gone_is_lost(dead_pid: int) -> None:
    process, reason = _owner(run(str(dead_pid)))
    assert process is None
    assert f"process {dead_pid}" in reason


def test_a_process_younger_than_the_run_has_a_recycled_id() -> None:
    process, reason = _owner(run(str(os.getpid()), started=datetime.now(UTC) - timedelta(days=30)))
    assert process is None
    assert "another program" in reason


def test_runs_of_other_hosts_are_not_ours_to_judge(dead_pid: int) -> None:
    assert _owner(run(f"elsewhere:{dead_pid}")) == (None, "")


def test_a_running_run_without_a_process_is_not_ours_to_judge() -> None:
    assert _owner(run(None)) == (None, "")


@pytest.mark.parametrize(("minutes", "lost"), [(1, False), (60, True)])
def test_a_pending_run_is_lost_after_minutes_without_a_process(minutes: int, lost: bool) -> None:
    then = datetime.now(UTC) - timedelta(minutes=minutes)
    _, reason = _owner(run(None, started=then, state="PENDING"))
    assert bool(reason) == lost


class Server:
    """A Prefect server with these unfinished runs."""

    def __init__(self, *runs: Run) -> None:
        self._pages = [[one.model_dump(mode="json") for one in runs], []]

    def post(self, _path: str, _body: object) -> list[object]:
        return self._pages.pop(0)


def test_runs_of_commands_are_those_that_live_and_are_not_the_workers(dead_pid: int) -> None:
    ours, lost = run(f"{HERE}:{os.getpid()}"), run(f"{HERE}:{dead_pid}")
    servers: list[Any] = [Server(ours, lost, run("elsewhere:1"), run(None)), Server(ours)]
    assert runs_of_commands(servers[0], ()) == [f"run r of process {os.getpid()}"]
    assert runs_of_commands(servers[1], {os.getpid()}) == []
