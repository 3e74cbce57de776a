"""The worker of trt-plan: it compiles a TensorRT-LLM checkpoint into an engine tree with trtllm-build.

It runs in the toolchain `tensorrt-llm-1.2`; `request` defines what it is asked. Everything that takes no GPU
time is checked first: host, tool, checkpoint.
"""

import tempfile
from typing import Any

from tasks.workers.common.gpu_host import GpuFacts, gpu_facts, refuse_unless
from tasks.workers.common.io import run, say
from tasks.workers.common.json_files import write_yaml
from tasks.workers.common.manifest import write_manifest
from tasks.workers.common.requests import Result
from tasks.workers.common.tool import run_commands
from tasks.workers.common.tool_versions import tool_versions
from tasks.workers.trt_plan.checkpoint import Checkpoint, read_checkpoint
from tasks.workers.trt_plan.engine import Engine, read_engine, require_version
from tasks.workers.trt_plan.request import Tool, TrtPlanAdmission, TrtPlanParams, TrtPlanRequest
from tasks.workers.trt_plan.tree import copy_tokenizer, plan_manifest

DISTRIBUTIONS = ("tensorrt_llm", "tensorrt", "torch", "transformers")


def main(request: TrtPlanRequest) -> Result:
    """Check host, tool and checkpoint, build, check the engine, and write its manifest."""
    params = request.params
    gpu = _gpu(params)
    tools = _tools(params.tool, stand_in=params.stand_in)
    checkpoint = read_checkpoint(request.inputs["checkpoint"], params.checkpoint, request.admission)
    seconds = _build(request)
    engine = read_engine(request.output, params)
    plans = engine.rank_bytes
    say(f"built by TensorRT-LLM {engine.version}: {len(plans)} plans, {sum(plans)} bytes")
    copy_tokenizer(checkpoint.directory, request.output)
    write_yaml(request.output / params.args_file, params.llm_args)
    write_manifest(request.output, plan_manifest(params, checkpoint, engine.sizes, gpu, tools))
    return Result(metrics=_metrics(checkpoint, engine, seconds), tools=tools)


def _build(request: TrtPlanRequest) -> dict[str, float]:
    """Run the tool; returns the seconds that each command took."""
    places = {"checkpoint": str(request.inputs["checkpoint"]), "output": str(request.output)}
    with tempfile.TemporaryDirectory(prefix="trt-plan-") as scratch:
        return run_commands(request.params.commands, places | {"scratch": scratch})


def _gpu(params: TrtPlanParams) -> GpuFacts:
    """The GPU that the kernels will be timed on. One is enough: ranks are built one after the other."""
    facts, target = gpu_facts(), params.target
    refuse_unless(facts, target.gpu_names, target.compute_capability, count=1)
    return facts


def _tools(tool: Tool, *, stand_in: bool) -> dict[str, str]:
    versions = tool_versions(DISTRIBUTIONS)
    require_version(versions["tensorrt_llm"], tool.line, stand_in=stand_in)
    return versions


def _metrics(checkpoint: Checkpoint, engine: Engine, seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "engine_version": engine.version,
        "sizes": engine.sizes,
        "rank_bytes": engine.rank_bytes,
        "checkpoint_bytes": checkpoint.weights_bytes,
        "unreported_features": engine.unreported,
        "command_s": seconds,
    }


if __name__ == "__main__":
    run(main, TrtPlanParams, TrtPlanAdmission)
