"""Asking another tool for its opinion: its worker is run, and a failure becomes a reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from artifacts.errors import EngineryError
from tasks.errors import WorkerCancelled
from tasks.hosts import HeldGpus
from tasks.judging import NoOpinion
from tasks.runs import Pipeline, new_directories
from tasks.toolchains import JobOutcome, Toolchain, Worker, run_job
from tasks.workers.common.records import Record
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.common.sources import closure, write_sources

OpinionT = TypeVar("OpinionT")


def opinion_or_reason(ask: Callable[[], OpinionT | NoOpinion], log: Path) -> OpinionT | NoOpinion:
    """Return the opinion that `ask` gets, or why there is none; `log` keeps the output of the tool.

    Raises:
        tasks.errors.WorkerCancelled: the run was cancelled.
    """
    before = _size(log)
    try:
        found: OpinionT | NoOpinion = ask()
    except WorkerCancelled:
        raise
    except EngineryError as error:
        found = NoOpinion(reason=error.what)
    except OSError as error:  # such as a full disk
        found = NoOpinion(reason=f"this host could not ask it: {error}")
    if not isinstance(found, NoOpinion):
        return found
    return found.model_copy(update={"log": log.name if _size(log) > before else ""})


def _size(log: Path) -> int:
    return log.stat().st_size if log.is_file() else 0


@dataclass(frozen=True, slots=True)
class ToolWorker:
    """The worker that asks a tool.

    Attributes:
        toolchain: holds the tool.
        module: the program, such as `tasks.workers.lm_eval.score`.
        log: takes its output.
        time_limit_s: the seconds that it may take.
        gpus: the GPUs that it computes on.
    """

    toolchain: Toolchain
    module: str
    log: Path
    time_limit_s: float
    gpus: HeldGpus = field(default_factory=HeldGpus)

    def run(
        self, pipeline: Pipeline, params: Record, inputs: Mapping[str, Path], work: Path
    ) -> tuple[JobOutcome, Path]:
        """Run it below `work`, on these directories; return its answer, and the directory of its output.

        Raises:
            tasks.errors.TaskError: it refused, failed, took too long, or was cancelled.
        """
        sources, output = new_directories(work, "sources", "output")
        write_sources(closure(self.module), sources)
        outcome = run_job(
            self.toolchain,
            Worker(module=self.module, import_path=sources),
            Request(params, Nothing(), dict(inputs), output),
            log=self.log,
            on_line=pipeline.say,
            time_limit_s=self.time_limit_s,
            extra_env=self.gpus.env,
            gpus=self.gpus.uuids,
            keep_fds=self.gpus.descriptors,
        )
        return outcome, output
