"""What a trtllm-torch engine holds beside the checkpoint: the arguments, what was tuned, and engine.json.

Standard library only. `engine.json` follows `EngineManifest` of the artifacts package; it is written as plain
JSON, since the toolchain does not have that package.

The autotuner's file (tensorrt_llm/_torch/autotuner.py of NVIDIA/TensorRT-LLM): {"metadata": {"lib_version",
"creation_timestamp", "device_name", "device_capability": [major, minor]}, "rank_0": {key: {"runner_id",
"tactic", "min_time"}}, ...}. TensorRT-LLM takes it on any GPU without a word, so what it was measured on is
kept outside of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_host import GpuFacts  # type: ignore[import-not-found]
from trtllm_checkpoint import Checkpoint  # type: ignore[import-not-found]
from worker_io import Refusal  # type: ignore[import-not-found]

FIX = "install the toolchain again, or build with another version of it"


@dataclass(frozen=True)
class Tuned:
    """What the autotuner left, and where it was measured.

    Attributes:
        path: the file, relative to the tree.
        config_sha256: digest of the file with the arguments that it was tuned for.
        entries: choices of all ranks; none where every kernel has one way only.
    """

    path: str
    config_sha256: str
    entries: int


def write_args(path: Path, arguments: Mapping[str, Any]) -> str:
    """Write the arguments as YAML with sorted keys; returns the digest of the file."""
    text = "".join(f"{line}\n" for line in yaml_lines(arguments))
    path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def yaml_lines(arguments: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Lines of block-style YAML; scalars are written as JSON, which YAML reads as the same values."""
    for name in sorted(arguments):
        value = arguments[name]
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {json.dumps(value, allow_nan=False)}"


def read_tuned(tree: Path, path: str, config_sha256: str, gpu: GpuFacts, version: str) -> Tuned:
    """Read what the autotuner left.

    Args:
        tree: the engine.
        path: where in it the file should be.
        config_sha256: digest of the arguments.
        gpu: what this host has.
        version: of the tool.

    Raises:
        Refusal: there is none, or it is of another form, GPU or version than this build's.
    """
    file = tree / path
    if not file.is_file():
        raise _bad_cache(f"TensorRT-LLM {version} left no autotuner cache", file)
    try:
        content = json.loads(file.read_bytes())
        told = content["metadata"]
        major, minor = told["device_capability"]
        measured = (told["device_name"], f"{major}.{minor}", told["lib_version"])
        ranks = [entries for name, entries in content.items() if name != "metadata"]
        entries = sum(len(choices) for choices in ranks)
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_cache(f"the autotuner cache is of an unknown form ({error!r})", file) from None
    here = (gpu.name, gpu.compute_capability, version)
    if measured != here:
        raise _bad_cache(f"the autotuner cache is of {', '.join(measured)}; this is {', '.join(here)}", file)
    if not ranks:
        raise _bad_cache("the autotuner cache holds no rank's choices", file)
    return Tuned(path, config_sha256, entries)


def manifest(
    params: Mapping[str, Any],
    checkpoint: Checkpoint,
    tuned: Tuned,
    gpu: GpuFacts,
    tools: Mapping[str, str],
    *,
    stand_in: bool,
) -> dict[str, Any]:
    """`engine.json`.

    Args:
        params: of the request.
        checkpoint: what is served.
        tuned: what the autotuner left.
        gpu: what it was measured on.
        tools: versions, among them tensorrt_llm and cuda.
        stand_in: whether a stand-in of the tool made it.
    """
    return {
        "format": 1,
        "kind": params["kind"],
        "architecture": checkpoint.architecture,
        "quantization": params["recipe"],
        "shape": dict(params["shape"]),
        "tokenizer_sha256": checkpoint.tokenizer_sha256,
        "toolchains": dict(params["toolchains"]),
        "tools": dict(tools),
        "stand_in": stand_in,
        "serve": dict(params["serve"]),
        **_of_gpu(params["target"], tuned, gpu, tools),
    }


def _of_gpu(
    target: Mapping[str, Any], tuned: Tuned, gpu: GpuFacts, tools: Mapping[str, str]
) -> dict[str, Any]:
    """What the GPU decides: where it was built, what was measured there, and that it serves there only."""
    here = {"gpu_name": gpu.name, "compute_capability": gpu.compute_capability}
    return {
        "requires": {
            "machine": target["machine"],
            "gpu_names": [gpu.name],
            "compute_capability": gpu.compute_capability,
            "gpu_count": target["gpu_count"],
        },
        "built_on": {**here, "driver": gpu.driver, "cuda": tools["cuda"]},
        "tuning": {
            **here,
            "path": tuned.path,
            "tool_version": tools["tensorrt_llm"],
            "tensor_parallel": target["tensor_parallel"],
            "config_sha256": tuned.config_sha256,
        },
    }


def _bad_cache(what: str, file: Path) -> Refusal:
    return Refusal("unsupported", what, str(file), FIX)
