"""Runs jobs: a worker program of a toolchain, with a JSON request, for a JSON response."""

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from tasks.errors import EngineWrong, WorkerFailed, WorkerOutOfMemory, WorkerRefused, WorkerRefusedInput
from tasks.toolchains.endings import failure, told_with_tail
from tasks.toolchains.environment import job_environment
from tasks.toolchains.records import JobOutcome, JobRequest, JobResponse, Toolchain
from tasks.toolchains.supervised import Ending, Supervised
from tasks.toolchains.temporary import temporary_files

OnLine = Callable[[str], None]

REFUSALS = {
    "unsupported": WorkerRefused,
    "input": WorkerRefusedInput,
    "out-of-memory": WorkerOutOfMemory,
    "regression": EngineWrong,
}


def run_job(
    toolchain: Toolchain,
    worker: Path,
    request: JobRequest,
    *,
    log: Path,
    on_line: OnLine,
    time_limit_s: float,
    extra_env: Mapping[str, str] | None = None,
    keep_fds: Sequence[int] = (),
) -> JobOutcome:
    """Run one worker to its end; its output goes line by line to `on_line` and into `log` (appended).

    `keep_fds` stay open until the last of its processes has ended (locks).

    Raises WorkerRefused (or WorkerRefusedInput, EngineWrong) with the worker's own words when it answers no,
    WorkerOutOfMemory, WorkerCancelled (something told its supervisor to end it), and WorkerFailed for every
    other end without a good answer. Whatever is raised, here or in `on_line`, no process of the job is left.
    """
    title = f"{worker.name} (toolchain {toolchain.name})"
    with temporary_files(toolchain) as directory:
        asked, answered = directory / "request.json", directory / "response.json"
        asked.write_text(_encoded(request), encoding="utf-8")
        command = [str(toolchain.python), str(worker), str(asked), str(answered)]
        env = job_environment(toolchain, {"TMPDIR": str(directory)} | dict(extra_env or {}), os.environ)
        on_line(f"$ {shlex.join(command)}")
        with Supervised(
            command, env=env, log=log, time_limit_s=time_limit_s, cwd=directory, keep_fds=keep_fds
        ) as process:
            for line in process.lines():
                on_line(line)
            ending = process.ending()
        if error := failure(title, process, ending, time_limit_s):
            raise error
        return _outcome(title, answered, process, ending)


def _encoded(request: JobRequest) -> str:
    inputs = {name: str(path.absolute()) for name, path in request.inputs.items()}
    document = {
        "params": request.params,
        "admission": request.admission,
        "inputs": inputs,
        "output": str(request.output.absolute()),
    }
    return json.dumps(document, allow_nan=False)


def _outcome(title: str, answered: Path, process: Supervised, ending: Ending) -> JobOutcome:
    try:
        answer: dict[str, Any] = json.loads(answered.read_bytes())
        if not answer.pop("ok"):
            _refuse(title, answer["error"], process)
        response = JobResponse(**answer)
    except FileNotFoundError:
        raise _unanswered(title, "wrote no response", process) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        raise _unanswered(title, f"wrote a response that is none ({told})", process) from error
    used = {"wall_s": ending.wall_s, "cpu_s": ending.cpu_s, "peak_rss_bytes": ending.peak_rss_bytes}
    return JobOutcome(metrics=response.metrics, tools=response.tools, **used)


def _refuse(title: str, error: dict[str, str], process: Supervised) -> NoReturn:
    refusal = REFUSALS[error["failure"]]
    where = error.get("where") or f"{title}, log {process.log}"
    raise refusal(error["what"], where=where, fix=error.get("fix", ""))


def _unanswered(title: str, what: str, process: Supervised) -> WorkerFailed:
    fix = "this is a fault of the worker: report it with the log"
    return WorkerFailed(f"{title} ended with exit code 0 but {what}", where=told_with_tail(process), fix=fix)
