"""Dry runs that are kept as files, so that a change to any command shows in a diff.

Write them again after such a change, and read the diff:

    PYTHONPATH=tests .venv/bin/python -m support.golden
"""

import sys
from pathlib import Path

from engine_specs.spec import load_spec, resolve_variants
from flows.demo.metadata import packaged_metadata
from tasks.plan import DryRun, HostView
from tasks.plan.dry_run import dry_run
from tasks.toolchains import NotInstalled

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CASES = {
    "demo": ("demo", "cpu-int8"),
    "trt-plan-fp8-two-h100": ("llama-3.1-8b-instruct", "h100-tp2"),
    "trt-plan-int4-awq-l40s": ("llama-3.1-8b-instruct", "l40s"),
    "trtllm-torch-nvfp4-b200": ("llama-3.1-8b-instruct", "b200"),
}


def absent(name: str) -> NotInstalled:
    """The state of a toolchain on a host that has none."""
    return NotInstalled(name=name, reason="it is not installed yet", fix=f"enginery toolchain install {name}")


def plan(case: str) -> DryRun:
    """The dry run of one case, as it is now."""
    name, variant = CASES[case]
    spec = load_spec(name)
    chosen = tuple(one for one in resolve_variants(spec) if one.name == variant)
    return dry_run(spec, chosen, HostView(absent, packaged_metadata(spec)))


def text(case: str) -> str:
    """The same as the text of its file."""
    return plan(case).model_dump_json(indent=1) + "\n"


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
