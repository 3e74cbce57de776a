"""The request of the trtllm-torch worker: records that the kind writes and the worker reads.

The input `checkpoint` is a directory in Hugging Face's layout.
"""

from dataclasses import dataclass
from typing import Any

from tasks.workers.common.requests import EngineParams, Request
from tasks.workers.common.shape import Shape
from tasks.workers.common.tool_command import ToolCommand


@dataclass(frozen=True)
class Target:
    """The hosts to tune on.

    Attributes:
        machine: their `platform.machine()`.
        gpu_names: names that the driver reports.
        compute_capability: of the GPU.
        gpu_count: GPUs that the engine occupies.
        tensor_parallel: parts that each layer is divided into.
    """

    machine: str
    gpu_names: tuple[str, ...]
    compute_capability: str | None
    gpu_count: int
    tensor_parallel: int


@dataclass(frozen=True)
class Files:
    """Paths in the engine tree: the tool's arguments, and what the autotuner measured."""

    llm_args: str
    cache: str


@dataclass(frozen=True)
class WarmUp:
    """How to query the server: the path that answers 200 once it is ready, and the name of its model."""

    ready_path: str
    model: str


@dataclass(frozen=True, kw_only=True)
class TrtllmTorchParams(EngineParams):
    """What decides the engine.

    Attributes:
        shape: how large it is.
        target: hosts.
        llm_args: arguments of TensorRT-LLM's LLM class by its names, as they are.
        files: where the parts of the tree are.
        warm_up: how to query the server.
        commands: the one command, which starts the server.
    """

    shape: Shape
    target: Target
    llm_args: dict[str, Any]
    files: Files
    warm_up: WarmUp
    commands: tuple[ToolCommand, ...]


@dataclass(frozen=True)
class TrtllmTorchAdmission:
    """What decides whether the engine may be built, by names of hf_quant_config.json; None: unquantized.

    Attributes:
        architectures: what the kind serves.
        quant_algos: formats of the weights, of which the checkpoint must have one.
        layer_quant_algos: formats of single layers, if each has its own.
        kv_cache_quant_algos: formats of the KV cache, of which the checkpoint must have one.
    """

    architectures: tuple[str, ...]
    quant_algos: tuple[str | None, ...]
    layer_quant_algos: tuple[str, ...]
    kv_cache_quant_algos: tuple[str | None, ...]


TrtllmTorchRequest = Request[TrtllmTorchParams, TrtllmTorchAdmission]
