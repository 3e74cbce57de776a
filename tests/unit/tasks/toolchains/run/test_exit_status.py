"""What is said of each way to end."""

import signal
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.errors import ToolRefused, ToolRefusedInput, WorkerCancelled, WorkerFailed, WorkerOutOfMemory
from tasks.toolchains.run import failure
from tasks.toolchains.run.messages import known_messages
from tasks.toolchains.run.supervised_process import Ending

MEMORY_WORDS = [
    "MemoryError",
    "RuntimeError: [enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried",
    "OSError: [Errno 12] Cannot allocate memory",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
    "torch.AcceleratorError: CUDA error: out of memory",
    "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "Fatal error: cudaErrorMemoryAllocation",
]


def reported(*, tail=(), **ending):
    process = SimpleNamespace(log=Path("job.log"), tail=deque(tail, maxlen=20), recent=deque(tail))
    values = {"exit_code": None, "signal": None, "stopped": None, "stragglers": 0, "oom_kills": 0}
    used = {"wall_s": 1.5, "cpu_s": 1.0, "peak_rss_bytes": 3 << 29}
    return failure("build.py", process, Ending(**values | used | ending), 60)


def test_exit_code_0_is_no_failure():
    assert reported(exit_code=0) is None


def test_kill_by_the_kernel_for_memory_is_out_of_memory():
    error = reported(signal=signal.SIGKILL, oom_kills=1)
    assert type(error) is WorkerOutOfMemory
    assert "1.50 GiB" in error.what
    assert error.failure == "out-of-memory"


def test_end_for_a_child_that_the_kernel_killed_is_out_of_memory():
    assert type(reported(exit_code=1, oom_kills=1)) is WorkerOutOfMemory


def test_kill_by_somebody_is_not_out_of_memory():
    assert type(reported(signal=signal.SIGKILL)) is WorkerFailed


def test_other_signal_while_the_kernel_kills_elsewhere_is_not_out_of_memory():
    assert type(reported(signal=signal.SIGSEGV, oom_kills=1)) is WorkerFailed


@pytest.mark.parametrize("line", MEMORY_WORDS)
def test_tools_words_for_memory(line):
    assert type(reported(exit_code=1, tail=[line, "more"])) is WorkerOutOfMemory


def test_words_for_memory_do_not_matter_where_it_went_well():
    assert reported(exit_code=0, tail=MEMORY_WORDS) is None


def test_cancellation_and_time_limit_are_distinguished():
    assert type(reported(signal=signal.SIGTERM, stopped="asked")) is WorkerCancelled
    assert "60 s" in reported(signal=signal.SIGKILL, stopped="time-limit").what


def test_stopped_worker_that_ends_well_is_cancelled_all_the_same():
    assert type(reported(exit_code=0, stopped="asked")) is WorkerCancelled


def test_message_says_what_where_and_fix():
    what, where, *tail, fix = str(reported(exit_code=2, tail=["boom"])).splitlines()
    assert what == "build.py ended with exit code 2 after 1.5 s"
    assert where == "  where: job.log, last lines:"
    assert tail == ["    | boom"]
    assert fix == "  fix: read the log: job.log"


@pytest.mark.parametrize(
    ("name", "kind", "failure_class"),
    [
        ("plan of another GPU", ToolRefused, "unsupported"),
        ("engine that does not load", ToolRefusedInput, "input"),
        ("TensorRT out of GPU memory", WorkerOutOfMemory, "out-of-memory"),
        ("NCCL", WorkerFailed, "infrastructure"),
    ],
)
def test_a_known_message_gives_cause_and_remedy(name, kind, failure_class):
    row = next(row for row in known_messages() if row.name == name)
    error = reported(exit_code=1, tail=[row.example, *["    a line of a long backtrace"] * 40])
    assert type(error) is kind
    assert error.failure == failure_class
    assert error.what == f"build.py ended with exit code 1 after 1.5 s: {row.cause}"
    assert error.fix == row.remedy
    assert "job.log, last lines" in error.where
    assert reported(exit_code=0, tail=[row.example]) is None


def test_a_known_message_does_not_hide_a_cancellation():
    row = known_messages()[0]
    assert type(reported(signal=signal.SIGTERM, stopped="asked", tail=[row.example])) is WorkerCancelled
