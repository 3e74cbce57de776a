"""What a trtllm-torch engine holds next to the checkpoint: the arguments, what was tuned, and engine.json.

Standard library only.

The autotuner's file (tensorrt_llm/_torch/autotuner.py of NVIDIA/TensorRT-LLM): {"metadata": {"lib_version",
"creation_timestamp", "device_name", "device_capability": [major, minor]}, "rank_0": {key: {"runner_id",
"tactic", "min_time"}}, ...}. TensorRT-LLM silently accepts it on any GPU, so the GPU that it was measured on
is recorded outside of it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.workers.common.gpu_host import GpuFacts
from tasks.workers.common.hf_checkpoint import Checkpoint
from tasks.workers.common.io import Refusal
from tasks.workers.common.manifest import manifest
from tasks.workers.trtllm_torch.request import TrtllmTorchParams

FIX = "install the toolchain again, or build with another version of it"


@dataclass(frozen=True)
class Tuned:
    """What the autotuner left, and where it was measured.

    Attributes:
        path: the file, relative to the tree.
        config_sha256: digest of the file with the arguments that it was tuned for.
        entries: number of choices of all ranks; 0 if no kernel has an alternative.
    """

    path: str
    config_sha256: str
    entries: int


def read_tuned(tree: Path, path: str, config_sha256: str, gpu: GpuFacts, version: str) -> Tuned:
    """Read what the autotuner left.

    Args:
        tree: the engine.
        path: where in it the file should be.
        config_sha256: digest of the arguments.
        gpu: what this host has.
        version: of the tool.

    Raises:
        Refusal: there is none, or its form, GPU or version is not this build's.
    """
    file = tree / path
    if not file.is_file():
        raise _bad_cache(f"TensorRT-LLM {version} left no autotuner cache", file)
    try:
        content = json.loads(file.read_bytes())
        metadata = content["metadata"]
        major, minor = metadata["device_capability"]
        measured = (metadata["device_name"], f"{major}.{minor}", metadata["lib_version"])
        ranks = [entries for name, entries in content.items() if name != "metadata"]
        entries = sum(len(choices) for choices in ranks)
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_cache(f"the autotuner cache has an unknown form ({error!r})", file) from None
    here = (gpu.name, gpu.compute_capability, version)
    if measured != here:
        raise _bad_cache(f"the autotuner cache is for {', '.join(measured)}; this is {', '.join(here)}", file)
    if not ranks:
        raise _bad_cache("the autotuner cache holds no rank's choices", file)
    return Tuned(path, config_sha256, entries)


def torch_manifest(
    params: TrtllmTorchParams, checkpoint: Checkpoint, tuned: Tuned, gpu: GpuFacts, tools: Mapping[str, str]
) -> dict[str, Any]:
    """The content of engine.json: the GPU that it was tuned on is the only one that it serves on.

    Args:
        params: of the request.
        checkpoint: what is served.
        tuned: what the autotuner left.
        gpu: what it was measured on.
        tools: versions, among them tensorrt_llm and cuda.
    """
    target, here = params.target, {"gpu_name": gpu.name, "compute_capability": gpu.compute_capability}
    return manifest(
        params,
        checkpoint.architecture,
        asdict(params.shape),
        checkpoint.tokenizer_sha256,
        tools,
        requires={
            "machine": target.machine,
            "gpu_names": [gpu.name],
            "compute_capability": gpu.compute_capability,
            "gpu_count": target.gpu_count,
        },
        built_on={**here, "driver": gpu.driver, "cuda": tools["cuda"]},
        tuning={
            **here,
            "path": tuned.path,
            "tool_version": tools["tensorrt_llm"],
            "tensor_parallel": target.tensor_parallel,
            "config_sha256": tuned.config_sha256,
        },
    )


def _bad_cache(what: str, file: Path) -> Refusal:
    return Refusal("unsupported", what, str(file), FIX)
