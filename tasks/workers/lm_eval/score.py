"""The worker: lm-evaluation-harness scores tasks on one running server.

It runs in the toolchain `lm-eval`; `request` defines what it is asked. Nothing is downloaded: the questions
are in the request.
"""

from importlib.metadata import version
from typing import Any

from datasets import Dataset
from lm_eval import simple_evaluate

from tasks.workers.common.io import run, say
from tasks.workers.common.records import as_json
from tasks.workers.common.requests import Nothing, Result
from tasks.workers.lm_eval.request import LmEvalParams, LmEvalRequest, Scores, TaskToScore
from tasks.workers.lm_eval.served_model import ServedModel

SPLIT = "test"
# As in the tool's own tasks: what does not match an expression becomes this.
FILTER = "answer"
WHITE_SPACE = r"^\s+|\s+$"


def main(request: LmEvalRequest) -> Result:
    """Score all tasks, and report the share of right answers of each."""
    asked = request.params
    model = ServedModel(asked, request.inputs["tokenizer"] / "tokenizer.json")
    found = simple_evaluate(
        model=model,
        tasks=[task_config(one) for one in asked.tasks],
        num_fewshot=0,
        bootstrap_iters=0,
        log_samples=False,
    )
    right = {one.name: _right(found["results"][one.name], metric_of(one)) for one in asked.tasks}
    say(f"lm-eval: {right}")
    return Result(metrics=as_json(Scores(right)), tools={"lm-eval": version("lm-eval")})


def metric_of(task: TaskToScore) -> str:
    """The tool's name for the share of right answers."""
    if task.form == "exact-match":
        return "exact_match"
    return "acc_bytes" if task.length_normalization == "bytes" else "acc"


def task_config(task: TaskToScore) -> dict[str, Any]:
    """The task as the tool declares its own."""
    metric: dict[str, Any] = {"metric": metric_of(task), "aggregation": "mean", "higher_is_better": True}
    common = {
        "task": task.name,
        "custom_dataset": lambda **_: {
            SPLIT: Dataset.from_list([_row(task, n) for n in range(len(task.items))])
        },
        "test_split": SPLIT,
        "doc_to_text": lambda row: row["prompt"],
        "doc_to_target": lambda row: row["target"],
        "metadata": {"version": 1},
    }
    if task.form == "multiple-choice":
        return common | {
            "output_type": "multiple_choice",
            "doc_to_choice": lambda row: row["options"],
            "target_delimiter": task.delimiter,
            "metric_list": [metric],
        }
    metric |= {"ignore_case": task.lower_case}
    if task.strip:
        metric["regexes_to_ignore"] = [WHITE_SPACE]
    return common | {
        "output_type": "generate_until",
        "generation_kwargs": {
            "until": list(task.stop),
            "max_gen_toks": task.max_tokens,
            "do_sample": False,
        },
        "filter_list": [{"name": FILTER, "filter": _filters(task)}],
        "metric_list": [metric],
    }


def _row(task: TaskToScore, place: int) -> dict[str, Any]:
    item = task.items[place]
    target = list(item.answers) if item.label is None else item.label
    return {"prompt": item.prompt, "options": list(item.options), "target": target}


def _filters(task: TaskToScore) -> list[dict[str, Any]]:
    first = {"function": "take_first"}
    if task.extract is None:
        return [first]
    return [{"function": "regex", "regex_pattern": task.extract, "group_select": 0}, first]


def _right(found: dict[str, Any], metric: str) -> float:
    """The share of right answers; the tool appends the name of the filter to that of the metric."""
    (share,) = [value for name, value in found.items() if name.partition(",")[0] == metric]
    return float(share)


if __name__ == "__main__":
    run(main, LmEvalParams, Nothing)
