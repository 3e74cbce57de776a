"""The commands of plans, kept as files, so that a change to any command shows in a diff.

What a worker may only refuse by (`admission`) is left out: its lists grow with the tables that they are read
from, and nothing that is built depends on them.

Write them again after such a change, and read the diff:

    PYTHONPATH=tests .venv/bin/python -m support.plans.golden
"""

import sys
from pathlib import Path

from pydantic import TypeAdapter

from engine_specs.preflight import vendored_checkpoint
from engine_specs.spec import Spec, load_spec, resolve_variants
from support.paths import DATA, SPECS
from tasks.plan import Command, StageWork
from tasks.plan.commands import stage_work
from tasks.stages import SpecGraph
from tasks.toolchains import NotInstalled

GOLDEN = DATA / "golden"
# Case: name of a spec, variant, and the directory of the spec.
CASES = {
    "aot-inductor-fp8-h200": ("aot-on-gpus", "h200-fp8", DATA / "specs"),
    "demo": ("demo", "cpu-int8", SPECS),
    "moe-trtllm-torch-four-h200": ("moe-on-gpus", "torch", DATA / "specs"),
    "moe-vllm-four-h200": ("moe-on-gpus", "vllm", DATA / "specs"),
    "ready-made-trtllm-torch-b200": ("ready-made-on-gpus", "torch", DATA / "specs"),
    "ready-made-vllm-h100": ("ready-made-on-gpus", "vllm", DATA / "specs"),
    "trt-plan-auto-h200-nvl": ("recipes-on-gpus", "h200-auto", DATA / "specs"),
    "trt-plan-fp8-two-h100": ("llama-3.1-8b-instruct", "h100-tp2", SPECS),
    "trt-plan-int4-awq-l40s": ("llama-3.1-8b-instruct", "l40s", SPECS),
    "trtllm-torch-nvfp4-b200": ("llama-3.1-8b-instruct", "b200", SPECS),
    "vllm-cpu": ("vllm-e2e", "cpu", DATA / "specs"),
    "vllm-mxfp8-gb300": ("recipes-on-gpus", "gb300-mxfp8", DATA / "specs"),
    "vllm-fp8-h200": ("vllm-e2e", "h200-fp8", DATA / "specs"),
}


def absent(name: str) -> NotInstalled:
    """The state of a toolchain on a host that has none."""
    return NotInstalled(name=name, reason="it is not installed yet", fix=f"enginery toolchain install {name}")


def stages(spec: Spec, *variants: str) -> dict[str, StageWork]:
    """What the stages of some variants, or of all, would run on a host that has nothing; by title."""
    chosen = tuple(one for one in resolve_variants(spec) if not variants or one.name in variants)
    known = vendored_checkpoint(spec.checkpoint.repo)
    config = known.config if known else None
    nodes = [node for node in SpecGraph(spec, chosen) if not node.left_out]
    return {node.title: stage_work(node, absent, config) for node in nodes}


def plan(case: str) -> dict[str, StageWork]:
    """The stages of one case, as they are now."""
    name, variant, folder = CASES[case]
    return {
        title: _without_admission(work) for title, work in stages(load_spec(name, folder), variant).items()
    }


def _without_admission(work: StageWork) -> StageWork:
    return work.model_copy(update={"commands": tuple(map(_request_without_admission, work.commands))})


def _request_without_admission(command: Command) -> Command:
    if command.request is None:
        return command
    kept = {key: value for key, value in command.request.items() if key != "admission"}
    return command.model_copy(update={"request": kept})


RECORDS = TypeAdapter(dict[str, StageWork])


def text(case: str) -> str:
    """The same as the text of its file."""
    return RECORDS.dump_json(plan(case), indent=1).decode() + "\n"


def path(case: str) -> Path:
    """Where a case is kept."""
    return GOLDEN / f"{case}.json"


def main() -> None:
    """Write all files."""
    for case in CASES:
        path(case).write_text(text(case), encoding="utf-8")
        sys.stdout.write(f"{path(case)}\n")


if __name__ == "__main__":
    main()
