"""What ModelOpt has put into a model: its quantizers, their scales and their formats."""

from collections.abc import Iterator
from typing import Any

import torch
from modelopt.torch.quantization.nn import TensorQuantizer

from tasks.workers.common.io import Refusal

Formats = dict[str, dict[str, str]]


def quantizers(model: Any) -> Iterator[tuple[str, TensorQuantizer]]:
    """Every quantizer that is switched on, by its name in the model."""
    for name, module in model.named_modules():
        if isinstance(module, TensorQuantizer) and module.is_enabled:
            yield name, module


def require_finite_scales(model: Any) -> None:
    """Refuse scales that are missing, zero, infinite or not a number: the export would be silently wrong."""
    for name, quantizer in quantizers(model):
        amax = quantizer.amax
        missing = amax is None and "weight_quantizer" in name and not _in_dynamic_blocks(quantizer)
        if missing or (amax is not None and not bool((torch.isfinite(amax) & (amax > 0)).all())):
            raise Refusal(
                "regression",
                f"{name} found no usable scale (amax {'none' if amax is None else float(amax.max())})",
                fix="check the checkpoint for layers of zeros, or use more calibration texts",
            )


def computes(model: Any, device: str) -> bool:
    """Whether the quantized model can run on its device: ModelOpt computes FP4 blocks only on GPUs."""
    return device == "cuda" or not any(_in_dynamic_blocks(quantizer) for _, quantizer in quantizers(model))


def _in_dynamic_blocks(quantizer: TensorQuantizer) -> bool:
    blocks = quantizer.block_sizes
    return bool(blocks) and blocks.get("type") == "dynamic"


def layer_formats(model: Any) -> Formats:
    """The formats of weights, inputs and outputs of each quantized layer, such as {"weight": "e4m3"}.

    A weight that goes through two formats (w4a8_awq) has both: {"weight.0": "int4", "weight.1": "e4m3"}.
    """
    formats: Formats = {}
    for name, quantizer in quantizers(model):
        layer, _, role = _layer_and_role(name)
        formats.setdefault(layer, {})[role.replace("_quantizer", "")] = _format_name(quantizer.num_bits)
    return formats


def format_bits(formats: Formats) -> dict[str, int]:
    """The bits per value of each format that is used, not counting scales."""
    used = sorted({name for roles in formats.values() for name in roles.values()})
    return {name: _bits(name) for name in used}


def _layer_and_role(name: str) -> tuple[str, str, str]:
    layer, dot, role = name.rpartition(".")
    if role.isdigit():  # one of several quantizers in a row
        layer, dot, first = layer.rpartition(".")
        role = f"{first}.{role}"
    return layer, dot, role


def _format_name(num_bits: int | tuple[int, int]) -> str:
    return f"int{num_bits}" if isinstance(num_bits, int) else f"e{num_bits[0]}m{num_bits[1]}"


def _bits(name: str) -> int:
    if name.startswith("int"):
        return int(name[3:])
    exponent, mantissa = name[1:].split("m")
    return 1 + int(exponent) + int(mantissa)
