"""Turns a worker's exit code, signal or exceeded limit into an error that a person can act on."""

import re
import signal
from collections.abc import Iterable

from tasks.errors import (
    TaskError,
    ToolRefused,
    ToolRefusedInput,
    WorkerCancelled,
    WorkerFailed,
    WorkerOutOfMemory,
)
from tasks.toolchains.run.messages import Failure, recognised
from tasks.toolchains.run.supervised_process import Ending, Supervised

MEMORY_RAN_OUT = re.compile(
    r"\bMemoryError\b|out of memory|can(?:no|')t allocate memory|std::bad_alloc|OutOfMemoryError"
    # Of CUDA's libraries, which ask for memory while graphs are captured, too.
    r"|STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)
NOT_STARTED = 127
ERRORS: dict[Failure, type[WorkerFailed]] = {
    "unsupported": ToolRefused,
    "input": ToolRefusedInput,
    "out-of-memory": WorkerOutOfMemory,
    "infrastructure": WorkerFailed,
}


def failure(title: str, process: Supervised, ending: Ending, time_limit_s: float) -> TaskError | None:
    """The error for this ending; None if it ended by itself with exit code 0.

    If the tool's last lines hold a known message, the error gives its cause and its fix.

    `title` names the program, such as "tasks.workers.aot.build (toolchain aot-cpu)".
    """
    where = log_with_tail(process)
    look = f"read the log: {process.log}"
    match ending:
        case Ending(stopped="time-limit"):
            what = f"{title} did not end within its time limit of {time_limit_s:g} s and was killed"
            return WorkerFailed(
                what, where=where, fix=f"{look}; or raise the limit (ENGINERY_JOB_TIME_LIMIT_S)"
            )
        case Ending(stopped=str(reason)):
            what = f"{title} was stopped after {ending.wall_s:.1f} s, on request to its supervisor ({reason})"
            return WorkerCancelled(what, where=where)
        case Ending(exit_code=0):
            return None
    if message := recognised(process.recent):
        what = f"{title} {how(ending)} after {ending.wall_s:.1f} s: {message.cause}"
        return ERRORS[message.failure](what, where=where, fix=message.remedy)
    if ran_out_of_memory(ending, process.tail):
        what = f"{title} ran out of memory ({how(ending)}; peak {ending.peak_rss_bytes / 2**30:.2f} GiB)"
        return WorkerOutOfMemory(
            what, where=where, fix="free memory, use a larger host, or ask for a smaller shape"
        )
    return WorkerFailed(f"{title} {how(ending)} after {ending.wall_s:.1f} s", where=where, fix=look)


def ran_out_of_memory(ending: Ending, tail: Iterable[str]) -> bool:
    """Whether the kernel killed it or one of its children for memory, or its last lines mention memory."""
    by_kernel = ending.oom_kills > 0 and ending.signal in (None, signal.SIGKILL)
    return by_kernel or any(MEMORY_RAN_OUT.search(line) for line in tail)


def how(ending: Ending) -> str:
    """The ending in words."""
    if ending.signal is not None:
        return f"was killed by {signal.Signals(ending.signal).name} ({signal.strsignal(ending.signal)})"
    return (
        "could not be started"
        if ending.exit_code == NOT_STARTED
        else f"ended with exit code {ending.exit_code}"
    )


def log_with_tail(process: Supervised) -> str:
    """The log's path and its last lines, for an error's `where`."""
    tail = "".join(f"\n    | {line}" for line in process.tail)
    return f"{process.log}" + (f", last lines:{tail}" if tail else " (it printed nothing)")
