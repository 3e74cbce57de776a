"""The request of the vllm worker: records that the kind writes and the worker reads.

The input `checkpoint` is a directory in Hugging Face's layout.
"""

from dataclasses import dataclass

from tasks.workers.common.requests import EngineParams, Request
from tasks.workers.common.shape import Shape
from tasks.workers.common.tool_command import ToolCommand

# The module that starts vLLM; the tree ships it, with everything that it imports.
SERVER = "tasks.workers.vllm.serve"


@dataclass(frozen=True)
class Target:
    """The hosts to build on.

    Attributes:
        machine: their `platform.machine()`.
        cpu_features: flags as /proc/cpuinfo spells them; empty for GPUs.
        gpu_names: names that the driver reports; empty for CPUs.
        compute_capability: of the GPU; None for CPUs.
        gpu_count: GPUs that the engine occupies.
    """

    machine: str
    cpu_features: tuple[str, ...]
    gpu_names: tuple[str, ...]
    compute_capability: str | None
    gpu_count: int


@dataclass(frozen=True)
class WarmUp:
    """How to query the server, and how often to start it.

    Attributes:
        ready_path: path that answers 200 once it is ready.
        model: name of its model in requests.
        starts: how often, at most, it is started cold, warm and from a copy.
    """

    ready_path: str
    model: str
    starts: int


@dataclass(frozen=True, kw_only=True)
class VllmParams(EngineParams):
    """What decides the engine.

    Attributes:
        shape: how large it is.
        target: hosts.
        warm_up: how to query the server.
        commands: the cold start and the warm start.
    """

    shape: Shape
    target: Target
    warm_up: WarmUp
    commands: tuple[ToolCommand, ...]


@dataclass(frozen=True)
class VllmAdmission:
    """What decides whether the engine may be built, by names of hf_quant_config.json; None: unquantized.

    Attributes:
        architectures: what the kind serves.
        quant_algos: formats of the weights, of which the checkpoint must have one.
        kv_cache_quant_algos: formats of the KV cache, of which the checkpoint must have one.
        layer_quant_algos: formats of single layers, if each has its own.
    """

    architectures: tuple[str, ...]
    quant_algos: tuple[str | None, ...]
    kv_cache_quant_algos: tuple[str | None, ...]
    layer_quant_algos: tuple[str, ...]


VllmRequest = Request[VllmParams, VllmAdmission]
