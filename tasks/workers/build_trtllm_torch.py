"""Worker: put a checkpoint, the arguments of TensorRT-LLM and its tuned cache together into an engine tree.

Request: inputs {"checkpoint": directory}; params {"kind", "recipe", "shape", "target", "llm_args",
"files", "warm_up", "commands", "serve", "toolchains", "stand_in" (only for a stand-in of the tool)};
admission {"architectures", "quant_algos", "layer_quant_algos", "kv_cache_quant_algo"}. Output: the engine
tree. Runs in the toolchain `tensorrt-llm-1.4`.

Everything that can be known without the GPU's time is asked first: host, tool, checkpoint.
"""

import tempfile
from typing import Any

from gpu_host import GpuFacts, gpu_facts, refuse_unless  # type: ignore[import-not-found]
from tool_versions import tool_versions  # type: ignore[import-not-found]
from trt_manifest import write_manifest  # type: ignore[import-not-found]
from trtllm_checkpoint import copy_checkpoint, read_checkpoint  # type: ignore[import-not-found]
from trtllm_tree import manifest, read_tuned, write_args  # type: ignore[import-not-found]
from trtllm_warm_up import warm_up  # type: ignore[import-not-found]
from worker_io import Request, Result, run, say  # type: ignore[import-not-found]

DISTRIBUTIONS = ("tensorrt_llm", "torch", "transformers")


def main(request: Request) -> Result:
    """Judge host, tool and checkpoint, make the tree, tune, judge what was tuned, describe it."""
    params, files, output = request.params, request.params["files"], request.output
    gpu = _gpu(params["target"])
    tools = tool_versions(DISTRIBUTIONS)
    checkpoint = read_checkpoint(request.inputs["checkpoint"], request.admission)
    copied = copy_checkpoint(checkpoint.directory, output)
    say(f"copied {copied} bytes of checkpoint")
    config_sha256 = write_args(output / files["llm_args"], params["llm_args"])
    ready_s = _warm_up(request)
    tuned = read_tuned(output, files["cache"], config_sha256, gpu, tools["tensorrt_llm"])
    say(f"tuned by TensorRT-LLM {tools['tensorrt_llm']}: {tuned.entries} choices")
    stand_in = bool(params.get("stand_in", False))
    content = manifest(params, checkpoint, tuned, gpu, tools, stand_in=stand_in)
    write_manifest(output / "engine.json", content)
    metrics = {"checkpoint_bytes": copied, "tuned_choices": tuned.entries, "warm_up_s": ready_s}
    return Result(metrics=metrics, tools=tools)


def _gpu(target: dict[str, Any]) -> GpuFacts:
    facts = gpu_facts()
    refuse_unless(facts, target["gpu_names"], target["compute_capability"], target["gpu_count"])
    return facts


def _warm_up(request: Request) -> float:
    asked, (command,) = request.params["warm_up"], request.params["commands"]
    with tempfile.TemporaryDirectory(prefix="trtllm-torch-") as scratch:
        places = {
            "checkpoint": str(request.inputs["checkpoint"]),
            "output": str(request.output),
            "scratch": scratch,
        }
        return float(warm_up(command, asked["ready_path"], asked["model"], places))


if __name__ == "__main__":
    run(main)
