"""Worker: compile a TensorRT-LLM checkpoint into an engine tree with trtllm-build.

Request: inputs {"checkpoint": directory}; params {"kind", "recipe", "checkpoint", "target", "tool", "asked",
"commands", "serve", "toolchains", "stand_in" (only for a stand-in of the tool)}. Output: the engine
tree. Runs in the toolchain `tensorrt-llm-1.2`.

Everything that can be known without the GPU's time is asked first: host, driver, tool, checkpoint.
"""

import tempfile
from pathlib import Path
from typing import Any

from gpu_host import GpuFacts, gpu_facts, refuse_unless  # type: ignore[import-not-found]
from tool_versions import tool_versions  # type: ignore[import-not-found]
from trt_checkpoint import Checkpoint, read_checkpoint  # type: ignore[import-not-found]
from trt_engine import Engine, read_engine, require_version  # type: ignore[import-not-found]
from trt_manifest import copy_tokenizer, manifest, write_manifest  # type: ignore[import-not-found]
from trt_tool import Places, run_commands  # type: ignore[import-not-found]
from worker_io import Refusal, Request, Result, run, say  # type: ignore[import-not-found]

DISTRIBUTIONS = ("tensorrt_llm", "tensorrt", "torch", "transformers")


def main(request: Request) -> Result:
    """Judge host, tool and checkpoint, build, judge the engine, describe it."""
    params, stand_in = request.params, bool(request.params.get("stand_in", False))
    gpu = _gpu(params)
    tools = _tools(params["tool"]["line"], stand_in=stand_in)
    checkpoint = read_checkpoint(request.inputs["checkpoint"], params["checkpoint"])
    with tempfile.TemporaryDirectory(prefix="trt-plan-") as scratch:
        places = Places(checkpoint.directory, request.output, Path(scratch))
        seconds = run_commands(params["commands"], places)
    line = params["tool"]["line"]
    engine = read_engine(request.output, params["asked"], params["checkpoint"], line, stand_in=stand_in)
    plans = engine.rank_bytes
    say(f"built by TensorRT-LLM {engine.version}: {len(plans)} plans, {sum(plans)} bytes")
    _describe(request, checkpoint, engine, gpu, tools)
    return Result(metrics=_metrics(checkpoint, engine, seconds), tools=tools)


def _gpu(params: dict[str, Any]) -> GpuFacts:
    """The GPU that the kernels will be timed on. One is enough: ranks are built one after the other."""
    facts, target = gpu_facts(), params["target"]
    refuse_unless(facts, target["gpu_names"], target["compute_capability"], count=1)
    line, floor = params["tool"]["line"], params["tool"]["driver_floor"]
    if _numbers(facts.driver) < _numbers(floor):
        raise Refusal(
            "unsupported",
            f"the NVIDIA driver is {facts.driver}; TensorRT-LLM {line} needs {floor} or newer",
            where="nvidia-smi",
            fix="update the driver, or install NVIDIA's forward compatibility package for CUDA 13",
        )
    return facts


def _tools(line: str, *, stand_in: bool) -> dict[str, str]:
    versions: dict[str, str] = tool_versions(DISTRIBUTIONS)
    require_version(versions["tensorrt_llm"], line, stand_in=stand_in)
    return versions


def _describe(
    request: Request, checkpoint: Checkpoint, engine: Engine, gpu: GpuFacts, tools: dict[str, str]
) -> None:
    copy_tokenizer(checkpoint.directory, request.output)
    built_on = {
        "gpu_name": gpu.name,
        "compute_capability": gpu.compute_capability,
        "driver": gpu.driver,
        "cuda": tools["cuda"],
    }
    tokenizer = checkpoint.directory / "tokenizer.json"
    content = manifest(request.params, checkpoint.architecture, engine.sizes, built_on, tools, tokenizer)
    write_manifest(request.output / "engine.json", content)


def _metrics(checkpoint: Checkpoint, engine: Engine, seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "engine_version": engine.version,
        "sizes": engine.sizes,
        "rank_bytes": engine.rank_bytes,
        "checkpoint_bytes": checkpoint.weights_bytes,
        "features_untold": engine.untold,
        "command_s": seconds,
    }


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


if __name__ == "__main__":
    run(main)
