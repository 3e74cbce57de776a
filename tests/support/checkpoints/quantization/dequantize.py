"""Weights of an export, put back together by nothing but the formats' definitions, and how far each may be
off.

Run by a toolchain's interpreter; knows neither ModelOpt nor the workers. Every bound follows from the format:
- integers, step s: half a step.
- E4M3 (3 bits of mantissa): half of 2^-3 of the value; below 2^-6 half of the step 2^-9.
- E8M0 (mxfp8): a power of two, stored as its exponent plus 127, as a scale of E4M3 values.
- E2M1 (1 bit of mantissa): half of 2^-1 of the value, half of the step 0.5 below 1; its scale is E4M3 itself,
  which may be rounded down by 2^-4 of the largest value, 6.
- What a recipe scales before it rounds it passes through bfloat16 (half of 2^-8) eight times at most: the
  scale, its inverse, the weight times it, the mean of the scales of layers that share one, the weight again,
  its quotient by the step, the norm that takes the scale up, and Gemma's norm less one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

Tensors = dict[str, torch.Tensor]
FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
THROUGH_BF16 = 8 * 2.0**-9


@dataclass(frozen=True)
class Linear:
    """One exported matrix: its stored values, and its scales by what they are for."""

    weight: torch.Tensor
    scale: torch.Tensor | None
    scale_2: torch.Tensor | None
    before: torch.Tensor | None


def read(folder: Path, pattern: str = "*.safetensors") -> Tensors:
    """All tensors of a folder."""
    tensors: Tensors = {}
    for file in sorted(folder.glob(pattern)):
        tensors |= load_file(file)
    return tensors


def error_over_bound(linear: Linear, original: torch.Tensor) -> float:
    """Largest error of a restored matrix, as a part of what its format allows (1 is all of it)."""
    values, bound = _restored(linear, original.float())
    assert values.shape == original.shape, f"{tuple(values.shape)} for {tuple(original.shape)}"
    return float(((values - original.float()).abs() / bound).max())


def _restored(linear: Linear, original: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    weight, scale = linear.weight, linear.scale
    if scale is None:
        return weight.float(), torch.full_like(original, 1e-30)
    before = torch.ones(()) if linear.before is None else linear.before.float()[None, :]
    if weight.dtype == torch.float8_e4m3fn:
        step = _wide(_powers(scale), original)
        bound = torch.maximum(original.abs() * 2.0**-4, step * 2.0**-10)
        values = weight.float() * step
    elif scale.dtype == torch.float8_e4m3fn:
        step = _wide(scale.float(), original) * _one(linear.scale_2)
        bound = torch.maximum(original.abs() * (2.0**-2 + 2.0**-4), step * 0.25)
        values = _fp4(weight) * step
    else:
        step = _wide(scale.float(), original)
        values = (_int4(weight) if weight.shape != original.shape else weight.float()) * step
        bound = step * 0.5
        if linear.scale_2 is not None:  # 4-bit integers of values that were E4M3 before
            bound = bound + original.abs() / before * 2.0**-4 + linear.scale_2 * 2.0**-10
    folded = 0.0 if linear.before is None else original.abs() * THROUGH_BF16
    return values * before, bound * before + folded + 1e-7


def _powers(scale: torch.Tensor) -> torch.Tensor:
    """Scales as numbers: bytes are the exponents of powers of two."""
    return torch.exp2(scale.float() - 127) if scale.dtype == torch.uint8 else scale


def _wide(scale: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """A scale for each element: of the tensor, of a row, of a block, or of a group along the row."""
    if scale.dim() == 4:  # blocks of rows and columns, with the sizes within a block between them
        down, _, along, _ = scale.shape
        rows = scale.float().reshape(down, along).repeat_interleave(original.shape[-2] // down, dim=0)
        return rows.repeat_interleave(original.shape[-1] // along, dim=1)
    if scale.numel() == 1:
        return scale.float().reshape(1, 1).expand_as(original)
    if scale.dim() == 1:
        return scale.float()[:, None].expand_as(original)
    return scale.float().repeat_interleave(original.shape[-1] // scale.shape[-1], dim=-1)


def _one(scale: torch.Tensor | None) -> torch.Tensor:
    return torch.ones(()) if scale is None else scale.float().reshape(())


def _int4(packed: torch.Tensor) -> torch.Tensor:
    """Two rows in one: the even one in the low half of each byte."""
    raw = packed.view(torch.uint8).to(torch.int16)
    rows = torch.stack([raw & 15, raw >> 4], dim=-2)
    rows = rows.reshape(*packed.shape[:-2], -1, packed.shape[-1]) if packed.dim() == 2 else rows
    return torch.where(rows > 7, rows - 16, rows).float()


def _fp4(packed: torch.Tensor) -> torch.Tensor:
    """Two columns in one: the even one in the low half of each byte; the highest bit is the sign."""
    raw = packed.view(torch.uint8).to(torch.int64)
    codes = torch.stack([raw & 15, raw >> 4], dim=-1).reshape(*packed.shape[:-1], -1)
    return FP4[codes & 7] * torch.where(codes > 7, -1.0, 1.0)


def hf_pairs(export: Tensors, source: Tensors, gemma: bool) -> Iterator[tuple[str, Linear, torch.Tensor]]:
    """Every linear layer of an export in Hugging Face's layout, next to the original weight."""
    for name, original in source.items():
        base = name.removesuffix(".weight")
        is_linear = name.endswith(("_proj.weight", "w1.weight", "w2.weight", "w3.weight"))
        if not is_linear:
            continue
        before = export.get(f"{base}.pre_quant_scale")
        if before is None:
            before = _folded(base, export, source, gemma)
        scale, scale_2 = export.get(f"{base}.weight_scale"), export.get(f"{base}.weight_scale_2")
        yield name, Linear(export[name], scale, scale_2, before), original


def _folded(base: str, export: Tensors, source: Tensors, gemma: bool) -> torch.Tensor | None:
    """The scale that went into the norm before the layer; None where the norm is as it was."""
    layer, _, part = base.partition(".self_attn.")
    norm = f"{layer}.input_layernorm.weight"
    if not part:
        layer = base.partition(".mlp.")[0]
        norm = f"{layer}.{'pre_feedforward' if gemma else 'post_attention'}_layernorm.weight"
    if norm not in source or base.endswith(("o_proj", "down_proj")):
        return None
    own = 1.0 if gemma else 0.0
    if torch.equal(export[norm], source[norm]):
        return None
    return (export[norm].float() + own) / (source[norm].float() + own)
