"""The request of the trt-plan worker: records that the kind writes and the worker reads.

The input `checkpoint` is a directory in TensorRT-LLM's layout.
"""

from dataclasses import dataclass
from typing import Any

from tasks.workers.common.requests import EngineParams, Request
from tasks.workers.common.tool_command import ToolCommand


@dataclass(frozen=True)
class WantedCheckpoint:
    """What the checkpoint must be: how it is divided, and its formats by TensorRT-LLM's names.

    Attributes:
        tensor_parallel: parts that each layer is divided into.
        pipeline_parallel: parts that the layers are divided into.
        quant_algo: format of the weights; None if they are not quantized.
        kv_cache_quant_algo: format of the KV cache; None if it is as computed.
        layer_quant_algos: formats that a layer may have if each has its own; empty otherwise.
    """

    tensor_parallel: int
    pipeline_parallel: int
    quant_algo: str | None
    kv_cache_quant_algo: str | None
    layer_quant_algos: tuple[str, ...]

    @property
    def world_size(self) -> int:
        """The number of ranks, each on a GPU of its own."""
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True)
class Target:
    """The hosts to compile for: machine, compute capability, and names that the driver reports."""

    machine: str
    compute_capability: str | None
    gpu_names: tuple[str, ...]


@dataclass(frozen=True)
class Tool:
    """The tool: its version line, such as 1.2."""

    line: str


@dataclass(frozen=True)
class Asked:
    """What the built engine must be, by the tool's names: sizes, and features that are on or off."""

    sizes: dict[str, int]
    features: dict[str, bool]


@dataclass(frozen=True, kw_only=True)
class TrtPlanParams(EngineParams):
    """What decides the engine.

    Attributes:
        checkpoint: what the checkpoint must be.
        target: hosts.
        tool: version line.
        asked: what the built engine must be.
        llm_args: arguments of the tool's LLM class by its names, which the server reads from a file.
        args_file: path of that file in the engine tree.
        commands: commands of the tool, in order.
    """

    checkpoint: WantedCheckpoint
    target: Target
    tool: Tool
    asked: Asked
    llm_args: dict[str, Any]
    args_file: str
    commands: tuple[ToolCommand, ...]


@dataclass(frozen=True)
class ConfigReads:
    """What a model file of the tool reads of a checkpoint's config.json; dots lead into mappings.

    Attributes:
        file: its path in the tool's repository.
        architecture: what it builds.
        required: keys without a default.
        stated: keys whose default may be another model's.
        values: the only values with which this architecture is built right.
    """

    file: str
    architecture: str
    required: tuple[str, ...]
    stated: tuple[str, ...]
    values: dict[str, Any]


@dataclass(frozen=True)
class TrtPlanAdmission:
    """What decides whether the checkpoint may be built: how the tool reads its config.json.

    Attributes:
        reads: one per architecture.
        quantization_keys: all that `quantization` may have.
        rotary_scalings: types that `rotary_scaling` may name.
    """

    reads: tuple[ConfigReads, ...]
    quantization_keys: tuple[str, ...]
    rotary_scalings: tuple[str, ...]


TrtPlanRequest = Request[TrtPlanParams, TrtPlanAdmission]
