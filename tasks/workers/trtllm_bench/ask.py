"""The worker: it runs trtllm-bench once.

It runs in the toolchain that serves the engine; `request` defines what it is asked.
"""

import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from tasks.workers.common.io import Refusal, run
from tasks.workers.common.records import as_json
from tasks.workers.common.requests import Nothing, Result
from tasks.workers.common.tool import run_commands
from tasks.workers.common.tool_command import ToolCommand, fill
from tasks.workers.trtllm_bench.request import BenchmarkRun, TrtllmBenchParams, TrtllmBenchRequest

PROGRAM, TOOL = "trtllm-bench", "tensorrt-llm"


def main(request: TrtllmBenchRequest) -> Result:
    """Run the command, in an empty directory: the tool refuses a name of a model that is a path there."""
    asked = request.params
    inputs = {role: str(path) for role, path in request.inputs.items()}
    with tempfile.TemporaryDirectory(prefix="trtllm-bench-") as scratch:
        for path in asked.copies:
            copy = Path(scratch, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(request.inputs["engine"] / path, copy)
        fill(request.inputs["engine"], asked.fills, Path(scratch))
        places = {**inputs, "output": str(request.output), "scratch": scratch}
        took = _run(asked.command, places)
    tools = {TOOL: version(TOOL)}
    return Result(metrics=as_json(BenchmarkRun(took)), tools=tools)


def _run(command: ToolCommand, places: Mapping[str, str]) -> float:
    """Run the tool; how it ended is an answer here, in its own words, not a failure of the worker."""
    try:
        return run_commands([command], places)[command.name]
    except SystemExit as ended:
        raise Refusal("unsupported", str(ended), PROGRAM) from None


if __name__ == "__main__":
    run(main, TrtllmBenchParams, Nothing)
