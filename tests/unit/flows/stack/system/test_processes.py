"""Daemons: found by their mark, known again by their start, ended with all they started, and nobody else."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows.stack.system.liveness import birth, is_running
from flows.stack.system.processes import MARK, PART, end_part, marked, spawn, tail
from flows.stack.system.state import Component

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('set', flush=True); time.sleep(99)"
)
WITH_CHILD = (
    "import subprocess, time;"
    "subprocess.Popen(['sleep', '99'], start_new_session=True); print('set', flush=True); time.sleep(99)"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], psutil.Process]]:
    """Start Python code as the daemon `probe` of a stack in tmp_path; returns once it has printed a line."""

    def started(code: str) -> psutil.Process:
        env = {**os.environ, MARK: str(tmp_path), PART: "probe"}
        process = spawn([sys.executable, "-c", code], env=env, cwd=tmp_path, log=tmp_path / "probe.log")
        while not (tmp_path / "probe.log").read_text():
            assert process.is_running()
            time.sleep(0.02)
        return process

    yield started
    end_part(tmp_path, "probe", grace_s=0)


def test_a_daemon_is_found_by_its_mark_and_not_by_another_stacks(start, tmp_path: Path) -> None:
    process = start(STUBBORN)
    assert marked(tmp_path) == [process]
    assert marked(tmp_path, "worker") == []
    assert marked(tmp_path / "other") == []
    assert os.getsid(process.pid) == process.pid


def test_a_recycled_process_id_is_not_taken_for_the_daemon() -> None:
    own = Component(name="worker", pid=os.getpid(), birth=birth(os.getpid()), url="", log="")
    boot, _, ticks = own.birth.partition(":")
    assert is_running(own)
    assert not is_running(own.model_copy(update={"birth": f"{boot}:{int(ticks) - 1}"}))
    assert not is_running(own.model_copy(update={"birth": f"another-boot:{ticks}"}))


def test_a_component_without_a_process_does_not_run() -> None:
    assert not is_running(Component(name="worker", url="", log=""))


def test_the_dead_do_not_run() -> None:
    with subprocess.Popen(["sleep", "99"]) as process:
        component = Component(name="worker", pid=process.pid, birth=birth(process.pid), url="", log="")
        assert is_running(component)
        process.kill()
        while is_running(component):  # a zombie counts as dead before anybody has waited for it
            time.sleep(0.01)
        assert Path(f"/proc/{process.pid}").exists()
    assert not is_running(component)


def test_a_daemon_that_ignores_the_request_is_killed(start, tmp_path: Path) -> None:
    process = start(STUBBORN)
    assert end_part(tmp_path, "probe", grace_s=0.2) == 1
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert marked(tmp_path) == []


def test_children_in_sessions_of_their_own_are_ended_too(start, tmp_path: Path) -> None:
    start(WITH_CHILD)
    assert end_part(tmp_path, "probe", grace_s=5) == 2
    assert marked(tmp_path) == []


def test_the_log_of_the_start_before_is_kept(start, tmp_path: Path) -> None:
    start("import time; print('first', flush=True); time.sleep(99)")
    end_part(tmp_path, "probe", grace_s=5)
    start("import time; print('second', flush=True); time.sleep(99)")
    assert tail(tmp_path / "probe.log") == "    second"
    assert tail(tmp_path / "probe.previous.log") == "    first"


def test_the_tail_of_a_missing_log_says_so(tmp_path: Path) -> None:
    assert "no output" in tail(tmp_path / "nothing.log")
