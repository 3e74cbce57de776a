"""What an engine is to be compiled for, read and checked before any weight is read.

Invariants:
- Standard library only: a refusal takes milliseconds, not the time to import torch.
- Everything that later steps need is in one frozen `BuildPlan`; they read neither the request nor config.json
  again.
- A checkpoint that would compile into a subtly different model (sliding windows, frequencies by length) is
  refused by name, with what to change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.workers.aot.request import AotAdmission, AotParams, Target
from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import read_json
from tasks.workers.common.safetensors import tensor_headers
from tasks.workers.common.shape import Shape

RECIPES = {"none": None, "int8_weight_only": "W8A16", "fp8": "FP8"}
# AOTInductor's code for processors does not compile with it.
GPU_RECIPES = ("fp8",)
# "dynamic" and "longrope" choose their frequencies by the longest position of a call, which one graph cannot
# do.
ROPE_TYPES = ("default", "linear", "llama3", "yarn")
DTYPES = ("bfloat16", "float32")
# On CPU, _weight_int8pack_mm reads past a row whose length is not a multiple of this, and returns wrong
# results or crashes. On GPUs, _scaled_mm refuses such matrices.
INPUT_MULTIPLE = 16
# Elements of a head that torch's flash attention takes on GPUs.
FLASH_WIDEST_HEAD, FLASH_HEAD_MULTIPLE = 256, 8
NARROW = {"I8": "int8", "F8_E4M3": "FP8"}
# Architectures of which every GPU host's processor is at least one.
HOST_MARCH = {"x86_64": "x86-64-v2", "aarch64": "armv8-a"}


@dataclass(frozen=True)
class BuildPlan:
    """Everything that decides what is compiled.

    Attributes:
        checkpoint: directory in Hugging Face layout.
        architecture: class name in `architectures` of config.json.
        recipe: quantization recipe of the weights.
        dtype: bfloat16 or float32, of activations and of weights that are not quantized.
        dtype_reason: why that dtype was chosen.
        shape: limits.
        target: hosts.
    """

    checkpoint: Path
    architecture: str
    recipe: str
    dtype: str
    dtype_reason: str
    shape: Shape
    target: Target


def read_plan(checkpoint: Path, params: AotParams, admission: AotAdmission) -> BuildPlan:
    """Check what is asked against config.json.

    Raises:
        Refusal: the architecture, the recipe, a setting of the config or the shape cannot be compiled.
    """
    config = read_json(checkpoint / "config.json")
    if params.target.device == "cpu" and not params.target.march:
        raise Refusal(
            "unsupported", "this kind compiles for x86-64 levels only", "target", "choose a cpu-x86-64 target"
        )
    dtype, reason = _choose_dtype(config, params.dtype, params.target.device)
    plan = BuildPlan(
        checkpoint=checkpoint,
        architecture=_architecture(config, admission.architectures),
        recipe=params.recipe,
        dtype=dtype,
        dtype_reason=reason,
        shape=params.shape,
        target=_completed(params.target),
    )
    _check_shape(params.shape, config)
    _check_positions(config)
    _check_recipe(plan)
    _check_files(checkpoint)
    return plan


def _completed(target: Target) -> Target:
    """The target with sorted flags, and with a level for the code that starts a GPU's kernels."""
    march = target.march if target.device == "cpu" else HOST_MARCH[target.machine]
    return replace(target, march=march, cpu_features=tuple(sorted(target.cpu_features)))


def _architecture(config: Mapping[str, Any], known: Sequence[str]) -> str:
    names = config.get("architectures") or ["none"]
    if names[0] not in known:
        raise Refusal(
            "unsupported",
            f"this kind cannot compile the architecture {names[0]}",
            "config.json: architectures",
            f"choose a checkpoint of {', '.join(known)}, or another engine kind",
        )
    return str(names[0])


def _choose_dtype(config: Mapping[str, Any], asked: str | None, device: str) -> tuple[str, str]:
    if device == "cuda":
        if asked not in (None, "bfloat16"):
            raise Refusal(
                "unsupported", f"dtype {asked} on a GPU: this kind computes in bfloat16 there", "dtype"
            )
        return "bfloat16", "bfloat16: what this kind computes in on GPUs"
    if asked is not None:
        if asked not in DTYPES:
            raise Refusal("unsupported", f"dtype {asked} is not one of {', '.join(DTYPES)}", "params: dtype")
        return asked, f"{asked}: asked for"
    stored = config.get("dtype") or config.get("torch_dtype") or "float32"
    if stored in DTYPES:
        return stored, f"{stored}: as the checkpoint is stored"
    return "bfloat16", f"bfloat16: the checkpoint's {stored} has no fast kernels on CPUs"


def _check_shape(shape: Shape, config: Mapping[str, Any]) -> None:
    positions = int(config.get("max_position_embeddings", shape.max_seq_len) * _stretch(config))
    if shape.max_seq_len > positions:
        _refuse_shape(
            f"max_seq_len {shape.max_seq_len} is beyond the model's {positions} positions", "max_seq_len"
        )
    if shape.max_input_len >= shape.max_seq_len:
        _refuse_shape(
            f"max_input_len {shape.max_input_len} leaves no room for output in {shape.max_seq_len} tokens",
            "max_input_len",
        )
    if shape.max_num_tokens < shape.max_input_len:
        _refuse_shape(
            f"max_num_tokens {shape.max_num_tokens} cannot hold one prompt of {shape.max_input_len} tokens",
            "max_num_tokens",
        )


def _refuse_shape(what: str, field: str) -> None:
    raise Refusal("input", what, f"shape.{field}", f"change {field} in the spec")


def _rope(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """How rotary positions are scaled: the name, and its settings."""
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    return rope.get("rope_type", rope.get("type", "default")), rope


def _stretch(config: Mapping[str, Any]) -> float:
    """What linear scaling multiplies the positions by; the other scalings are counted in them already."""
    kind, rope = _rope(config)
    return float(rope.get("factor") or 1.0) if kind == "linear" else 1.0


def _check_positions(config: Mapping[str, Any]) -> None:
    kind, _settings = _rope(config)
    if kind not in ROPE_TYPES:
        raise Refusal(
            "unsupported",
            f"rope type {kind} depends on the length of each call, and a compiled graph cannot do that",
            "config.json: rope_parameters",
            f"supported: {', '.join(ROPE_TYPES)}",
        )
    layers = config.get("layer_types") or []
    if config.get("use_sliding_window") or any(layer != "full_attention" for layer in layers):
        raise Refusal(
            "unsupported",
            "the model uses sliding-window attention, but the engine attends to the whole sequence",
            "config.json: use_sliding_window, layer_types",
            "choose a checkpoint without sliding windows",
        )


def _check_recipe(plan: BuildPlan) -> None:
    if plan.recipe not in RECIPES:
        raise Refusal(
            "unsupported",
            f"this kind has no kernels for the recipe {plan.recipe}",
            "quantization.recipe",
            f"supported: {', '.join(RECIPES)}",
        )
    if plan.recipe in GPU_RECIPES and plan.target.device == "cpu":
        raise Refusal(
            "unsupported", f"{plan.recipe} on processors", "quantization.recipe", "choose a GPU target"
        )
    quantization = _quantization(plan.checkpoint)
    stored = quantization.get("quant_algo")
    if stored != RECIPES[plan.recipe]:
        raise Refusal(
            "input",
            f"recipe {plan.recipe} expects weights stored as {RECIPES[plan.recipe] or 'plain numbers'}, "
            f"but the checkpoint holds {stored or 'plain numbers'}",
            "hf_quant_config.json: quant_algo",
            "build from the tree that the quantize stage made for this recipe",
        )
    if quantization.get("kv_cache_quant_algo"):
        raise Refusal(
            "unsupported", "this kind has no quantized KV cache", "hf_quant_config.json", "set kv_cache: none"
        )
    _check_widths(plan.checkpoint)


def _quantization(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "hf_quant_config.json"
    return dict(read_json(path)["quantization"]) if path.is_file() else {}


def _check_widths(checkpoint: Path) -> None:
    for name, entry in tensor_headers(checkpoint):
        if entry["dtype"] in NARROW and entry["shape"][-1] % INPUT_MULTIPLE:
            raise Refusal(
                "unsupported",
                f"the {NARROW[entry['dtype']]} kernel needs an input width that is a multiple of "
                f"{INPUT_MULTIPLE}, but {name} has {entry['shape'][-1]}",
                name,
                "use recipe: none for this model",
            )


def _check_files(checkpoint: Path) -> None:
    if not (checkpoint / "tokenizer.json").is_file():
        raise Refusal(
            "input",
            "the checkpoint has no tokenizer.json, so the engine could not read text",
            "tokenizer.json",
            "add a fast tokenizer to the checkpoint",
        )
    if not any(checkpoint.glob("*.safetensors")):
        raise Refusal(
            "input", "the checkpoint holds no safetensors file", "*.safetensors", "convert it first"
        )
