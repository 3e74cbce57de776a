"""8-bit weights with one scale per output channel, as ModelOpt's INT8_WEIGHT_ONLY export stores them.

Next to each quantized `X.weight` (int8, [out, in]) is its `X.weight_scale` (float32, [out]); the weight's
value is `weight * weight_scale[:, None]`. Modules left out (the head, the embeddings) have no scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

SCALE_SUFFIX = "_scale"
INT8_PRODUCT = torch.ops.aten._weight_int8pack_mm  # noqa: SLF001  the only int8 kernel for CPUs


class Int8Linear(nn.Module):
    """A linear layer whose weight stays int8 in memory; the kernel widens it in registers.

    Inputs are [..., in] in the dtype of the scales (bfloat16 is fastest), outputs are [..., out].
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("scale", scale.contiguous())
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply; `_weight_int8pack_mm` takes matrices, so leading dimensions are folded into rows."""
        rows = x.reshape(-1, x.shape[-1])
        product = INT8_PRODUCT(rows, self.weight, self.scale)
        product = product.view(*x.shape[:-1], self.weight.shape[0])
        return product if self.bias is None else product + self.bias


@dataclass(frozen=True)
class Int8Weight:
    """One quantized matrix: values int8 [out, in], scale float32 [out]."""

    values: torch.Tensor
    scale: torch.Tensor

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """The matrix that it represents, rounded once to `dtype`."""
        return (self.values.float() * self.scale.float()[:, None]).to(dtype)


def read_tensors(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every stored tensor, one at a time, from all shards."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                yield name, file.get_tensor(name)


def split_int8(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, Int8Weight]]:
    """Separate plain tensors from quantized ones; the keys of both are names of weights."""
    quantized = {
        name: Int8Weight(tensor, tensors[name + SCALE_SUFFIX])
        for name, tensor in tensors.items()
        if tensor.dtype == torch.int8
    }
    used = {name + SCALE_SUFFIX for name in quantized} | quantized.keys()
    return {name: tensor for name, tensor in tensors.items() if name not in used}, quantized


def use_int8(model: nn.Module, quantized: dict[str, Int8Weight], dtype: torch.dtype) -> None:
    """Replace the linear layers of `model` whose weights are quantized, in place."""
    for name, weight in quantized.items():
        path, _, field = name.rpartition(".")
        linear = model.get_submodule(path)
        if field != "weight" or not isinstance(linear, nn.Linear):
            message = f"{name} is int8, but {path} is not a linear layer of this architecture"
            raise TypeError(message)
        parent, _, child = path.rpartition(".")
        replacement = Int8Linear(weight.values, weight.scale.to(dtype), linear.bias)
        setattr(model.get_submodule(parent), child, replacement)
