"""lm-evaluation-harness on a running side: the second opinion on tasks, which decides nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from engine_specs.spec import Task
from tasks.hub import TaskItem
from tasks.judging import Endpoint, JudgingProtocol, Opinion
from tasks.runs import Pipeline, new_directories
from tasks.toolchains import Worker, ensure, run_job
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.common.sources import closure, write_sources
from tasks.workers.lm_eval.request import Item, LmEvalParams, TaskToScore

TOOLCHAIN = "lm-eval"
WORKER = "tasks.workers.lm_eval.score"
TOKENIZER_FILE = "tokenizer.json"


def second_opinions(tasks: Iterable[Task]) -> tuple[str, ...]:
    """Return the toolchain that gives second opinions, if a task asks for one."""
    return (TOOLCHAIN,) if any(task.second_opinion for task in tasks) else ()


def give_opinion(
    pipeline: Pipeline,
    protocol: JudgingProtocol,
    items: Mapping[str, Sequence[TaskItem]],
    tokenizer: bytes,
    label: str,
    endpoint: Endpoint,
) -> Opinion:
    """Let lm-eval score one side on all tasks that ask for it.

    Args:
        pipeline: settings and log.
        protocol: gives the tasks.
        items: their questions, by name.
        tokenizer: content of tokenizer.json of the checkpoint.
        label: part of the name of the log.
        endpoint: the side, which is up.

    Raises:
        tasks.errors.TaskError: the toolchain is unavailable, or the worker refused, failed or was killed.
    """
    plans = [plan for plan in protocol.tasks if plan.task.second_opinion]
    toolchain = ensure(TOOLCHAIN, pipeline.settings, say=pipeline.say)
    params = LmEvalParams(
        base_url=endpoint.base_url,
        model=endpoint.model,
        tasks=tuple(_asked(plan.task, items[plan.task.name]) for plan in plans),
        in_flight=max(plan.in_flight for plan in plans),
        request_limit_s=max(plan.request_limit_s for plan in plans),
    )
    side = "".join(character if character.isalnum() else "-" for character in endpoint.side.name)
    name = f"{label}-{side}-{TOOLCHAIN}"
    with pipeline.work_dir(name) as work:
        sources, inputs, output = new_directories(work, "sources", "tokenizer", "output")
        write_sources(closure(WORKER), sources)
        (inputs / TOKENIZER_FILE).write_bytes(tokenizer)
        outcome = run_job(
            toolchain,
            Worker(module=WORKER, import_path=sources),
            Request(params, Nothing(), {"tokenizer": inputs}, output),
            log=pipeline.log_file(name),
            on_line=pipeline.say,
            time_limit_s=pipeline.settings.job_time_limit_s,
        )
    return Opinion(tool=f"lm-eval {outcome.tools['lm-eval']}", right=outcome.metrics["right"])


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
