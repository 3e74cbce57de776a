"""The worker of trtllm-torch: it combines a checkpoint, arguments and a tuned cache into an engine tree.

It runs in the toolchain `tensorrt-llm-1.4`; `request` defines what it is asked. Everything that takes no GPU
time is checked first: host, tool, checkpoint.
"""

import tempfile
from pathlib import Path

from tasks.workers.common.gpu_host import GpuFacts, gpu_facts, refuse_unless
from tasks.workers.common.hf_checkpoint import copy_checkpoint, read_checkpoint
from tasks.workers.common.io import run, say
from tasks.workers.common.json_files import write_yaml
from tasks.workers.common.manifest import write_manifest
from tasks.workers.common.requests import Result
from tasks.workers.common.tool_command import fill
from tasks.workers.common.tool_versions import tool_versions
from tasks.workers.trtllm_torch.request import (
    Target,
    TrtllmTorchAdmission,
    TrtllmTorchParams,
    TrtllmTorchRequest,
)
from tasks.workers.trtllm_torch.tree import read_tuned, torch_manifest
from tasks.workers.trtllm_torch.warm_up import warm_up

DISTRIBUTIONS = ("tensorrt_llm", "torch", "transformers")


def main(request: TrtllmTorchRequest) -> Result:
    """Check host, tool and checkpoint, make the tree, tune, check what was tuned, and write the manifest."""
    params, output = request.params, request.output
    gpu = _gpu(params.target)
    tools = tool_versions(DISTRIBUTIONS)
    checkpoint = read_checkpoint(request.inputs["checkpoint"], request.admission)
    copied = copy_checkpoint(checkpoint.directory, output)
    say(f"copied {copied} bytes of checkpoint")
    config_sha256 = write_yaml(output / params.files.llm_args, params.llm_args)
    ready_s = _warm_up(request)
    tuned = read_tuned(output, params.files.cache, config_sha256, gpu, tools["tensorrt_llm"])
    say(f"tuned by TensorRT-LLM {tools['tensorrt_llm']}: {tuned.entries} choices")
    write_manifest(output, torch_manifest(params, checkpoint, tuned, gpu, tools))
    metrics = {"checkpoint_bytes": copied, "tuned_choices": tuned.entries, "warm_up_s": ready_s}
    return Result(metrics=metrics, tools=tools)


def _gpu(target: Target) -> GpuFacts:
    facts = gpu_facts()
    refuse_unless(facts, target.gpu_names, target.compute_capability, target.gpu_count)
    return facts


def _warm_up(request: TrtllmTorchRequest) -> float:
    (command,) = request.params.commands
    places = {"checkpoint": str(request.inputs["checkpoint"]), "output": str(request.output)}
    with tempfile.TemporaryDirectory(prefix="trtllm-torch-") as scratch:
        fill(request.output, request.params.serve.get("fills", ()), Path(scratch))
        return warm_up(command, request.params.warm_up, places | {"scratch": scratch})


if __name__ == "__main__":
    run(main, TrtllmTorchParams, TrtllmTorchAdmission)
