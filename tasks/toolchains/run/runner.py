"""Runs jobs: a worker of a toolchain reads a JSON request and writes a JSON response."""

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.errors import (
    EngineWrong,
    TaskError,
    WorkerFailed,
    WorkerOutOfMemory,
    WorkerRefused,
    WorkerRefusedInput,
)
from tasks.toolchains.launcher import Launch, Program
from tasks.toolchains.records import JobOutcome, Toolchain, Worker
from tasks.toolchains.run.environment import job_environment
from tasks.toolchains.run.exit_status import failure, log_with_tail
from tasks.toolchains.run.supervised_process import Ending, Supervised
from tasks.toolchains.run.temporary import temporary_files
from tasks.workers.common.records import as_json
from tasks.workers.common.requests import Failure, Refused, Request, read_response

OnLine = Callable[[str], None]

# In the directory of a job, which is its working directory.
REQUEST_FILE, RESPONSE_FILE = "request.json", "response.json"

REFUSALS: dict[Failure, type[TaskError]] = {
    "unsupported": WorkerRefused,
    "input": WorkerRefusedInput,
    "out-of-memory": WorkerOutOfMemory,
    "regression": EngineWrong,
}


def run_job(
    toolchain: Toolchain,
    worker: Worker,
    request: Request[Any, Any],
    *,
    log: Path,
    on_line: OnLine,
    time_limit_s: float,
    extra_env: Mapping[str, str] | None = None,
    gpus: Sequence[str] = (),
    keep_fds: Sequence[int] = (),
) -> JobOutcome:
    """Run one worker to its end; its output goes line by line to `on_line` and into `log` (appended).

    `gpus` are the UUIDs of the GPUs that it computes on, in the driver's order. `keep_fds` stay open until
    the last of its processes has ended (locks).

    Raises WorkerRefused (or WorkerRefusedInput, EngineWrong) with the worker's own message if it refuses,
    WorkerOutOfMemory, WorkerCancelled (its supervisor was asked to end it), and WorkerFailed for every other
    end without a valid response. Whatever is raised, here or in `on_line`, no process of the job is left.
    """
    title = f"{worker.module} (toolchain {toolchain.name})"
    worker = worker.model_copy(update={"import_path": worker.import_path.absolute()})
    inputs = {role: path.absolute() for role, path in request.inputs.items()}
    request = replace(request, inputs=inputs, output=request.output.absolute())
    with temporary_files(toolchain) as directory:
        asked = json.dumps(as_json(request), allow_nan=False)
        (directory / REQUEST_FILE).write_text(asked, encoding="utf-8")
        launch = job_launch(toolchain, worker, request, directory, extra_env=extra_env or {}, gpus=gpus)
        on_line(f"$ {shlex.join(launch.argv)}")
        with Supervised(
            launch.argv,
            env=launch.env,
            log=log,
            time_limit_s=time_limit_s,
            cwd=directory,
            keep_fds=keep_fds,
            end=launch.end,
        ) as process:
            for line in process.lines():
                on_line(line)
            ending = process.ending()
        if error := failure(title, process, ending, time_limit_s):
            raise error
        return _outcome(title, directory / RESPONSE_FILE, process, ending)


def job_launch(
    toolchain: Toolchain,
    worker: Worker,
    request: Request[Any, Any],
    directory: Path,
    *,
    extra_env: Mapping[str, str],
    gpus: Sequence[str],
    source: Mapping[str, str] = os.environ,
) -> Launch:
    """What starts a job in its directory, which holds the request; all paths are absolute.

    `source` is the environment that allowed variables are passed on from; `gpus` as in `run_job`.
    """
    own = {"TMPDIR": str(directory), "PYTHONPATH": str(worker.import_path)}
    asked, answered = str(directory / REQUEST_FILE), str(directory / RESPONSE_FILE)
    program = Program(
        # -P: nothing may be imported from its working directory.
        argv=(str(toolchain.python), "-P", "-m", worker.module, asked, answered),
        env=job_environment(toolchain, own | dict(extra_env), source),
        directory=directory,
        reads=(worker.import_path, *request.inputs.values()),
        writes=(directory, request.output),
        gpus=tuple(gpus),
    )
    return toolchain.launcher.launch(program)


def _outcome(title: str, answered: Path, process: Supervised, ending: Ending) -> JobOutcome:
    try:
        answer = read_response(json.loads(answered.read_bytes()))
    except FileNotFoundError:
        raise _unanswered(title, "wrote no response", process) from None
    except ValueError as error:
        raise _unanswered(title, f"wrote an invalid response ({error})", process) from error
    if isinstance(answer, Refused):
        where = answer.where or f"{title}, log {process.log}"
        raise REFUSALS[answer.failure](answer.what, where=where, fix=answer.fix)
    used = {"wall_s": ending.wall_s, "cpu_s": ending.cpu_s, "peak_rss_bytes": ending.peak_rss_bytes}
    return JobOutcome(metrics=answer.metrics, tools=answer.tools, **used)


def _unanswered(title: str, what: str, process: Supervised) -> WorkerFailed:
    fix = "this is a defect of the worker: report it with the log"
    return WorkerFailed(f"{title} ended with exit code 0 but {what}", where=log_with_tail(process), fix=fix)
