"""Linear layers as an engine computes them: 8-bit weights, and layers of one input joined into one product.

Next to each quantized `X.weight`, ModelOpt's export stores what its values are multiplied by:
- INT8_WEIGHT_ONLY: int8 [out, in], and `X.weight_scale` float32 [out];
- FP8: float8_e4m3fn [out, in], and `X.weight_scale` and `X.input_scale`, float32 scalars. Activations are
  divided by the latter and rounded to FP8 too.
Modules left out (the head, the embeddings) have no scale.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

WEIGHT_SCALE, INPUT_SCALE = "_scale", "input_scale"
INT8_PRODUCT = torch.ops.aten._weight_int8pack_mm  # noqa: SLF001  the only int8 kernel for CPUs
FP8 = torch.float8_e4m3fn
LARGEST_FP8 = 448.0


@dataclass(frozen=True)
class Quantized:
    """One quantized matrix: values [out, in], scale float32 [out], and the scale of its inputs, if any."""

    values: torch.Tensor
    scale: torch.Tensor
    input_scale: torch.Tensor | None

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """The matrix that it represents, rounded once to `dtype`."""
        return (self.values.float() * self.scale[:, None]).to(dtype)


class Int8Linear(nn.Module):
    """A linear layer whose weight stays int8 in memory.

    Inputs are [..., in] in the dtype of the scales (bfloat16 is fastest), outputs are [..., out]. On CPU the
    kernel widens the weight in registers; on GPUs it is widened as it is read, by whatever multiplies it.
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        # A copy: the kernel crashes on addresses at which a file may have it.
        self.register_buffer("weight", weight.clone(memory_format=torch.contiguous_format))
        self.register_buffer("scale", scale.contiguous())
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply; the kernel takes matrices, so leading dimensions are folded into rows."""
        rows = x.reshape(-1, x.shape[-1])
        if x.is_cuda:
            product = (rows @ self.weight.to(x.dtype).t()) * self.scale
        else:
            product = INT8_PRODUCT(rows, self.weight, self.scale)
        product = product.view(*x.shape[:-1], self.weight.shape[0])
        return product if self.bias is None else product + self.bias


class Fp8Linear(nn.Module):
    """A linear layer whose weight and inputs are FP8; products are summed in float32.

    `scale` is float32 [out], since joined layers have one of each; `input_scale` a float32 scalar.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    input_scale: torch.Tensor

    def __init__(
        self,
        weight: torch.Tensor,
        scale: torch.Tensor,
        input_scale: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("scale", scale.contiguous())
        self.register_buffer("input_scale", input_scale.contiguous())
        self.register_buffer("one", torch.ones_like(input_scale))
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Round the inputs, multiply, and scale each output."""
        rows = to_fp8(x.reshape(-1, x.shape[-1]), self.input_scale)
        product = torch._scaled_mm(  # noqa: SLF001  there is no public name in torch 2.11
            rows, self.weight.t(), self.input_scale, self.one, out_dtype=x.dtype
        )
        product = (product.float() * self.scale).to(x.dtype).view(*x.shape[:-1], self.weight.shape[0])
        return product if self.bias is None else product + self.bias


class WideLinear(nn.Linear):
    """A linear layer that multiplies in float32, widening weight and inputs on the way.

    For many rows this is faster than a bfloat16 product on processors that have no instruction for that.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Widen, multiply, and round once."""
        bias = None if self.bias is None else self.bias.float()
        return nn.functional.linear(x.float(), self.weight.float(), bias).to(x.dtype)


class RoundedInputs(nn.Module):
    """A plain linear layer whose inputs are rounded to FP8 first: what an `Fp8Linear` is compared with."""

    def __init__(self, linear: nn.Linear, input_scale: torch.Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("input_scale", input_scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Round and multiply."""
        scale = self.get_buffer("input_scale")
        return torch.as_tensor(self.linear((to_fp8(x, scale).float() * scale).to(x.dtype)))


class Product:
    """The product of joined layers, from when the first one computes it to when the last one has read it."""

    def __init__(self) -> None:
        self.value: torch.Tensor | None = None


class Part(nn.Module):
    """One of several layers of the same input: its share of their joint product.

    They are called one after another, the first with `joined`, which computes for all.
    """

    def __init__(
        self, product: Product, outputs: tuple[int, int], names: tuple[str, ...], joined: nn.Module | None
    ) -> None:
        super().__init__()
        self._product = product
        self._outputs = outputs
        self.names = names
        self.joined = joined

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """This layer's outputs [..., out] for the input that the first one was given."""
        if self.joined is not None:
            self._product.value = self.joined(x)
        if self._product.value is None:
            raise RuntimeError("a joined layer was called before the one that computes")
        first, last = self._outputs
        return self._product.value[..., first:last]


def read_tensors(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every stored tensor, one at a time, from all shards."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dict
                yield name, file.get_tensor(name)


def split_quantized(
    tensors: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, Quantized]]:
    """Separate plain tensors from quantized ones; the keys of both are names of weights."""
    quantized = {
        name: _quantized(tensors, name)
        for name, tensor in tensors.items()
        if tensor.dtype in (torch.int8, FP8)
    }
    used = {part for name in quantized for part in (name, name + WEIGHT_SCALE, _input_scale(name))}
    return {name: tensor for name, tensor in tensors.items() if name not in used}, quantized


def use_quantized(model: nn.Module, quantized: dict[str, Quantized], dtype: torch.dtype) -> None:
    """Replace the linear layers of `model` whose weights are quantized, in place."""
    for name, weight in quantized.items():
        linear = _linear(model, name)
        if weight.input_scale is None:
            replacement: nn.Module = Int8Linear(weight.values, weight.scale.to(dtype), linear.bias)
        else:
            replacement = Fp8Linear(weight.values, weight.scale, weight.input_scale, linear.bias)
        _replace(model, name, replacement)


def round_inputs(model: nn.Module, quantized: dict[str, Quantized]) -> None:
    """Let the layers of a plain model round their inputs as the quantized ones do, in place."""
    for name, weight in quantized.items():
        if weight.input_scale is not None:
            _replace(model, name, RoundedInputs(_linear(model, name), weight.input_scale))


def widened(model: nn.Module, kept: Sequence[str]) -> nn.Module:
    """A model with the same weights, whose plain linear layers multiply in float32, but for some by name."""
    memo = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, memo)
    for name, layer in copied.named_modules():
        if type(layer) is nn.Linear and name not in kept:
            layer.__class__ = WideLinear
    return copied


def join(parent: nn.Module, names: Sequence[str]) -> None:
    """Join layers of the same input, in place, in the order in which they are called.

    Layers of different kinds, with different scales of their input, or with a bias only here and there, stay
    apart.
    """
    layers: list[Any] = [parent.get_submodule(name) for name in names]
    if not _alike(layers):
        return
    product, first, joined = Product(), 0, _joined(layers)
    for name, layer in zip(names, layers, strict=True):
        outputs = (first, first + layer.weight.shape[0])
        setattr(parent, name, Part(product, outputs, tuple(names), None if first else joined))
        first = outputs[1]


def to_fp8(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Divide by a scale and round to FP8; what is too large becomes the largest number."""
    return (x.float() / scale).clamp(-LARGEST_FP8, LARGEST_FP8).to(FP8)


def _joined(layers: Sequence[Any]) -> nn.Module:
    """One layer with the outputs of all, one after another."""
    first, weight = layers[0], torch.cat([layer.weight for layer in layers])
    bias = None if first.bias is None else torch.cat([layer.bias for layer in layers])
    if isinstance(first, Fp8Linear):
        return Fp8Linear(weight, torch.cat([layer.scale for layer in layers]), first.input_scale, bias)
    if isinstance(first, Int8Linear):
        return Int8Linear(weight, torch.cat([layer.scale for layer in layers]), bias)
    linear = nn.Linear(*reversed(weight.shape), bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return linear


def _alike(layers: Sequence[Any]) -> bool:
    """Whether layers differ in their weights only."""
    scales = [layer.input_scale for layer in layers if isinstance(layer, Fp8Linear)]
    return (
        len({type(layer) for layer in layers}) == 1
        and len({layer.bias is None for layer in layers}) == 1
        and all(torch.equal(scale, scales[0]) for scale in scales)
    )


def _quantized(tensors: dict[str, torch.Tensor], name: str) -> Quantized:
    values, scale = tensors[name], tensors[name + WEIGHT_SCALE].float()
    return Quantized(values, scale.expand(values.shape[0]), tensors.get(_input_scale(name)))


def _input_scale(weight: str) -> str:
    return weight.rpartition(".")[0] + "." + INPUT_SCALE


def _linear(model: nn.Module, weight: str) -> nn.Linear:
    path, _, field = weight.rpartition(".")
    linear = model.get_submodule(path)
    if field != "weight" or not isinstance(linear, nn.Linear):
        message = f"{weight} is quantized, but {path} is not a linear layer of this architecture"
        raise TypeError(message)
    return linear


def _replace(model: nn.Module, weight: str, replacement: nn.Module) -> None:
    parent, _, child = weight.rpartition(".")[0].rpartition(".")
    setattr(model.get_submodule(parent), child, replacement)
