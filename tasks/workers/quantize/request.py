"""The request of the quantize worker: records that the stage writes and the worker reads.

The input `checkpoint` is a directory in Hugging Face's layout. The input `calibration`, if texts are needed,
is a directory with texts.jsonl, every line of which is used if its text has at least two tokens.
"""

from dataclasses import dataclass
from typing import Literal

from tasks.workers.common.requests import Request

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Recipe:
    """A quantization recipe of the weights.

    Attributes:
        name: its name in recipes.yaml.
        preset: ModelOpt's constant; None if there is nothing to quantize by a constant.
    """

    name: str
    preset: str | None


@dataclass(frozen=True)
class CacheFormat:
    """A format of the KV cache.

    Attributes:
        name: its name in recipes.yaml.
        preset: ModelOpt's constant; None if the cache stays as it is.
        quant_algo: its name in the metadata of a quantized checkpoint.
    """

    name: str
    preset: str | None
    quant_algo: str | None


@dataclass(frozen=True)
class RecipeText:
    """A recipe file of ModelOpt: its path for messages, its digest and its text."""

    path: str
    sha256: str
    text: str


@dataclass(frozen=True)
class Search:
    """A search for the recipe of each layer.

    Attributes:
        effective_bits: most bits per weight, averaged over all searched layers.
        method: how the cost of a choice is estimated.
        score_samples: number of texts that it is estimated on.
        candidates: recipes that a layer may get.
    """

    effective_bits: float
    method: str
    score_samples: int
    candidates: tuple[Recipe, ...]


@dataclass(frozen=True)
class Export:
    """The layout to write.

    Attributes:
        format: Hugging Face's or TensorRT-LLM's.
        tensor_parallel: parts that each layer is divided into.
        pipeline_parallel: parts that the layers are divided into.
        decoder_type: ModelOpt's name for the checkpoint's family, for TensorRT-LLM's layout.
    """

    format: Literal["hf", "tensorrt-llm"]
    tensor_parallel: int
    pipeline_parallel: int
    decoder_type: str | None


@dataclass(frozen=True)
class Calibration:
    """How texts are used: the first `sequence_length` tokens of each."""

    sequence_length: int


@dataclass(frozen=True)
class QuantizeParams:
    """What decides the quantized checkpoint; None stands for what is not asked for."""

    device: Device
    recipe: Recipe
    kv_cache: CacheFormat
    file: RecipeText | None
    search: Search | None
    export: Export
    calibration: Calibration | None


@dataclass(frozen=True)
class FormatNeeds:
    """What a recipe or a format of the KV cache needs.

    Attributes:
        name: its name in recipes.yaml.
        devices: devices that ModelOpt computes it on.
        needs_calibration: whether it needs texts.
        weight_input_multiple: number that input dimensions of weights must be a multiple of.
    """

    name: str
    devices: tuple[Device, ...]
    needs_calibration: bool
    weight_input_multiple: int


@dataclass(frozen=True)
class QuantizeAdmission:
    """What decides whether the checkpoint may be quantized.

    Attributes:
        modelopt: line of ModelOpt whose exports the engine kind reads, such as 0.47.
        transformers_major: major version of transformers that reads the checkpoint there.
        architectures: architectures that the kind compiles.
        formats: needs of the recipe, of each candidate of a search, and of the KV cache.
    """

    modelopt: str
    transformers_major: int
    architectures: tuple[str, ...]
    formats: tuple[FormatNeeds, ...]


QuantizeRequest = Request[QuantizeParams, QuantizeAdmission]
