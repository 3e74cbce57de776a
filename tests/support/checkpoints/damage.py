"""Damage a checkpoint: the same files, with noise on every weight matrix.

    PYTHON tests/support/checkpoints/damage.py SOURCE DEST --noise 0.3 --seed 0

Runs in a toolchain that has torch and safetensors. `--noise` is the standard deviation of what is added, as
a share of each matrix's own. Integer and FP8 weights are damaged in their own grid. Equal arguments give
equal bytes.
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shutil.copytree(given.source, given.dest)
    generator = torch.Generator().manual_seed(given.seed)
    damaged = sum(
        damage_file(file, given.noise, generator) for file in sorted(given.dest.glob("*.safetensors"))
    )
    if not damaged:
        parser.error(f"{given.source} holds no weight matrix")
    print(f"damaged {damaged} matrices", flush=True)


def damage_file(file: Path, noise: float, generator: torch.Generator) -> int:
    """Rewrite one safetensors file; returns how many matrices were damaged."""
    with safe_open(file, "pt") as tensors:
        metadata = tensors.metadata()
        content = {name: tensors.get_tensor(name) for name in sorted(tensors.keys())}
    matrices = [name for name, tensor in content.items() if tensor.dim() == 2]
    for name in matrices:
        content[name] = with_noise(content[name], noise, generator)
    file.unlink()  # the copy may be read-only
    save_file(content, file, metadata=metadata)
    return len(matrices)


def with_noise(tensor: torch.Tensor, noise: float, generator: torch.Generator) -> torch.Tensor:
    """A [rows, columns] matrix with noise added, in its own dtype."""
    values = tensor.float()
    values = values + noise * values.std() * torch.randn(values.shape, generator=generator)
    if not tensor.dtype.is_floating_point:
        limits = torch.iinfo(tensor.dtype)
        values = values.round().clamp(limits.min, limits.max)
    return values.to(tensor.dtype)


if __name__ == "__main__":
    main()
