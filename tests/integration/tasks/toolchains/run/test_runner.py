"""Jobs: good answers, refusals, and every way in which a worker can end badly."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.programs.processes import alive, parent_of, wait_until
from support.toolchains.workers import staged_file

from tasks.errors import EngineWrong, WorkerFailed, WorkerOutOfMemory, WorkerRefused, WorkerRefusedInput
from tasks.toolchains import run_job
from tasks.toolchains.run import Supervised

WORKER = Path(__file__).parent / "workers" / "misbehaves.py"


@pytest.fixture
def worker(tmp_path):
    return staged_file(tmp_path / "worker", WORKER)


@pytest.fixture
def run(here, worker, request_to, tmp_path):
    """Runs the worker that misbehaves; keeps its lines in `run.lines` and its log at `run.log`."""

    def run_it(do, *, time_limit_s=60.0, on_line=None, **params):
        return run_job(
            here, worker, request_to(do, **params), log=run_it.log, on_line=on_line or run_it.lines.append,
            time_limit_s=time_limit_s,
        )  # fmt: skip

    run_it.lines = []
    run_it.log = tmp_path / "logs" / "job.log"
    return run_it


def test_answer_comes_back_with_what_the_run_cost(run, tmp_path):
    outcome = run("answer")
    assert outcome.metrics["inputs"] == ["checkpoint"]
    assert outcome.tools == {"python": "3"}
    assert outcome.peak_rss_bytes > 1_000_000
    assert outcome.wall_s > 0
    assert (tmp_path / "output" / "made.txt").read_text() == "made"


def test_output_is_streamed_and_logged_and_the_command_is_echoed(run):
    run("answer")
    assert run.lines[0].startswith("$ ")
    assert " -P -m misbehaves " in run.lines[0]
    assert run.lines[1:] == ["doing: answer"]
    assert run.log.read_text() == "doing: answer\n"


def test_lines_come_while_the_worker_runs(run):
    def leave_at_first_line(line):
        if line == "doing: hang":
            raise LookupError(line)

    with pytest.raises(LookupError, match="doing: hang"):
        run("hang", on_line=leave_at_first_line)


def test_temporary_files_of_a_job_go_with_it(run, here):
    left = Path(run("litter").metrics["left"])
    assert left.parents[1] == here.temporary_dir
    assert not left.parent.exists()


def test_environment_holds_no_secrets_and_what_is_declared(run, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "HF_TOKEN", "LD_PRELOAD_X", "ENGINERY_HOME"):
        monkeypatch.setenv(name, "secret")
    environment = run("show_environment").metrics["environment"]
    assert "secret" not in environment.values()
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["DECLARED_FOR_TOOL"] == "yes"
    assert environment["HOME"] == os.environ["HOME"]
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))


@pytest.mark.parametrize(
    ("failure", "error", "exit_code"),
    [
        ("unsupported", WorkerRefused, 1),
        ("input", WorkerRefusedInput, 2),
        ("out-of-memory", WorkerOutOfMemory, 1),
        ("regression", EngineWrong, 1),
    ],
)
def test_refusal_keeps_the_workers_words_and_class(run, failure, error, exit_code):
    with pytest.raises(error) as raised:
        run("refuse", failure=failure)
    said = raised.value
    assert (said.what, said.where, said.fix) == ("weights are of no use", "config.json", "take others")
    assert said.failure == failure
    assert said.exit_code == exit_code


def test_hang_ends_at_the_time_limit(run):
    with pytest.raises(WorkerFailed, match=r"time limit of 0\.7 s"):
        run("hang", time_limit_s=0.7)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT", "SIGTERM"])
def test_death_by_signal_is_named(run, name):
    with pytest.raises(WorkerFailed, match=name) as raised:
        run("die", signal=name)
    assert "doing: die" in raised.value.where
    assert type(raised.value) is WorkerFailed


def test_exit_code_and_last_lines_are_reported(run):
    with pytest.raises(WorkerFailed, match="exit code 3") as raised:
        run("exit")
    assert "| last words" in str(raised.value)
    assert str(run.log) in str(raised.value)


def test_memory_limit_is_out_of_memory(run):
    with pytest.raises(WorkerOutOfMemory):
        run("take_memory")


def test_tools_own_words_for_memory_are_understood(run):
    with pytest.raises(WorkerOutOfMemory, match="ran out of memory"):
        run("say_no_memory")


@pytest.mark.parametrize(
    "response", ["not json", "[1, 2]", "{}", '{"ok": true}',
                 '{"ok": true, "metrics": {}, "tools": {}, "more": 1}',
                 '{"ok": 1, "metrics": {}, "tools": {}}',
                 '{"ok": false, "error": {"failure": "unheard-of", "what": "x"}}']
)  # fmt: skip
def test_garbage_response_is_the_workers_fault(run, response):
    with pytest.raises(WorkerFailed, match="an invalid response"):
        run("garbage", response=response)


def test_missing_response_is_the_workers_fault(run):
    with pytest.raises(WorkerFailed, match="wrote no response"):
        run("silence")


def test_unstartable_worker_says_so(run, here, worker, request_to, tmp_path):
    gone = here.model_copy(update={"python": tmp_path / "no-python"})
    with pytest.raises(WorkerFailed, match="could not be started") as raised:
        run_job(gone, worker, request_to("answer"), log=run.log, on_line=print, time_limit_s=9)
    assert "No such file" in raised.value.where


def test_progress_bars_and_long_lines_are_tamed(run):
    run("print_long")
    long, done = run.lines[-2], run.lines[-1]
    assert len(long) < 5000
    assert long.endswith("[+96000 bytes]")
    assert done == "done"


def test_grandchild_left_behind_is_ended_with_the_job(run, tmp_path):
    run("leave_children", pid_file=str(tmp_path / "pid"))
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_in_the_owner_ends_the_job(run, tmp_path, error):
    pid_file = tmp_path / "pid"

    def fail_late(line):
        if line == "escaped":
            raise error

    with pytest.raises(error):
        run("leave_children", stay=True, pid_file=str(pid_file), on_line=fail_late)
    assert not alive(int(pid_file.read_text()))


def test_deaf_worker_is_killed_after_the_grace(tmp_path):
    with Supervised(
        [sys.executable, "-c", DEAF], env={}, log=tmp_path / "log", time_limit_s=60, grace_s=0.3
    ) as process:
        assert next(process.lines()) == "deaf"
        process.stop()
        ending = process.ending()
    assert (ending.signal, ending.stopped) == (signal.SIGKILL, "asked")


def test_exception_sent_to_a_waiting_thread_ends_its_job(run):
    """Prefect cancels tasks in threads by such an exception: it must not wait for the worker's next line."""
    ended = []

    def job():
        try:
            run("hang")
        except InterruptedError as error:
            ended.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    wait_until(lambda: any(line.startswith("pid ") for line in run.lines))
    worker = next(int(line.split()[1]) for line in run.lines if line.startswith("pid "))
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(InterruptedError)
    )
    thread.join(timeout=60)
    assert len(ended) == 1
    assert not alive(worker)


DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
OWNER = """
import sys
from pathlib import Path
from tasks.toolchains import Toolchain, Worker, run_job
from tasks.workers.common.requests import Nothing, Request
here, import_path, directory = map(Path, sys.argv[1:])
paths = {"root": here, "python": here, "bin_dir": here.parent}
toolchain = Toolchain(name="here", identity="0" * 64, versions={}, **paths)
(directory / "out").mkdir()
params = {"do": "leave_children", "stay": True, "pid_file": str(directory / "pid")}
request = Request(params, Nothing(), {}, directory / "out")
worker = Worker(module="misbehaves", import_path=import_path)
run_job(toolchain, worker, request, log=directory / "log", on_line=lambda line: print(line, flush=True),
        time_limit_s=600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_an_owner_that_is_killed(worker, tmp_path, number):
    command = [sys.executable, "-c", OWNER, sys.executable, str(worker.import_path), str(tmp_path)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with owner:
        assert any(line == "escaped\n" for line in owner.stdout)
        escaped = int((tmp_path / "pid").read_text())
        assert alive(escaped)
        owner.send_signal(number)
        owner.stdout.read()
    wait_until(lambda: not alive(escaped))
    assert owner.returncode == -number


def test_worker_dies_with_its_supervisor(run):
    workers = []

    def kill_supervisor(line):
        if line.startswith("pid "):
            workers.append(int(line.split()[1]))
            os.kill(parent_of(workers[0]), signal.SIGKILL)

    with pytest.raises(WorkerFailed, match="supervisor of a worker was killed"):
        run("hang", on_line=kill_supervisor)
    wait_until(lambda: not alive(workers[0]))
