"""lm-evaluation-harness on a running side: the second opinion on tasks, which decides nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from engine_specs.spec import Task
from tasks.comparison.second_opinions.tool_worker import ToolWorker, opinion_or_reason
from tasks.hub import TaskItem
from tasks.judging import Endpoint, JudgingProtocol, NoOpinion, Opinion, Placement, Side
from tasks.runs import Pipeline, new_directories
from tasks.toolchains import ensure
from tasks.workers.lm_eval.request import Item, LmEvalParams, Scores, TaskToScore

TOOLCHAIN = "lm-eval"
WORKER = "tasks.workers.lm_eval.score"
TOKENIZER_FILE = "tokenizer.json"


def opinion_toolchains(tasks: Iterable[Task]) -> tuple[str, ...]:
    """Return the toolchain that gives second opinions, if a task asks for one."""
    return (TOOLCHAIN,) if any(task.second_opinion for task in tasks) else ()


def ask_lm_eval(
    pipeline: Pipeline,
    protocol: JudgingProtocol,
    items: Mapping[str, Sequence[TaskItem]],
    tokenizer: bytes,
    label: str,
    placement: Placement,
    side: Side,
) -> Opinion | NoOpinion:
    """Let lm-eval score one side on all tasks that ask for it, or return why it did not.

    Args:
        pipeline: settings and log.
        protocol: gives the tasks.
        items: their questions, by name.
        tokenizer: content of tokenizer.json of the checkpoint.
        label: part of the name of the log.
        placement: brings up the side.
        side: the side.

    Raises:
        tasks.errors.WorkerCancelled: the run was cancelled.
    """
    name = "".join(character if character.isalnum() else "-" for character in side.name)
    log = pipeline.log_file(f"{label}-{name}-{TOOLCHAIN}")

    def ask() -> Opinion:
        with placement.serving([side]) as (endpoint,):
            params = _params(protocol, items, endpoint)
            return _scored(pipeline, params, tokenizer, log)

    found = opinion_or_reason(ask, log)
    said = f"none ({found.reason})" if isinstance(found, NoOpinion) else f"{found.tool}: {found.right}"
    pipeline.say(f"second opinion on tasks, {side.name}: {said}; it decides nothing")
    return found


def _scored(pipeline: Pipeline, params: LmEvalParams, tokenizer: bytes, log: Path) -> Opinion:
    toolchain = ensure(TOOLCHAIN, pipeline.settings, say=pipeline.say)
    worker = ToolWorker(toolchain, WORKER, log, pipeline.settings.job_time_limit_s)
    with pipeline.work_dir(log.stem) as work:
        (inputs,) = new_directories(work, "tokenizer")
        (inputs / TOKENIZER_FILE).write_bytes(tokenizer)
        outcome, _ = worker.run(pipeline, params, {"tokenizer": inputs}, work)
    found = outcome.metrics_as(Scores)
    return Opinion(tool=f"lm-eval {outcome.tools['lm-eval']}", right=found.right)


def _params(
    protocol: JudgingProtocol, items: Mapping[str, Sequence[TaskItem]], endpoint: Endpoint
) -> LmEvalParams:
    plans = [plan for plan in protocol.tasks if plan.task.second_opinion]
    return LmEvalParams(
        base_url=endpoint.base_url,
        model=endpoint.model,
        tasks=tuple(_asked(plan.task, items[plan.task.name]) for plan in plans),
        in_flight=max(plan.in_flight for plan in plans),
        request_limit_s=max(plan.request_limit_s for plan in plans),
    )


def _asked(task: Task, items: Sequence[TaskItem]) -> TaskToScore:
    return TaskToScore(
        name=task.name,
        form=task.form,
        items=tuple(
            Item(
                prompt=one.prompt,
                options=one.options,
                label=one.label,
                answers=tuple(map(partial(_extracted, task=task), one.answers)),
            )
            for one in items
        ),
        delimiter=task.option_prefix,
        length_normalization=task.length_normalization,
        max_tokens=task.max_tokens or 1,
        stop=task.stop,
        strip="strip" in task.normalize,
        lower_case="lower-case" in task.normalize,
        extract=task.extract,
    )


def _extracted(answer: str, task: Task) -> str:
    """Return the answer in a text of the dataset: the tool extracts from what is generated only."""
    match = None if task.extract is None else re.search(task.extract, answer)
    return answer if match is None else match[match.re.groups] or ""
