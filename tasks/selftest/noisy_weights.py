"""Damage a compiled engine: the same packages, with noise on every weight matrix that they read.

Equal arguments give equal bytes.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.workers.common.safetensors import LENGTH_BYTES

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

WEIGHTS_FOLDER = "weights"


def damage_engine(engine: Path, dest: Path, *, noise: float, seed: int = 0) -> int:
    """Write a damaged copy of an engine tree; returns how many matrices were damaged.

    `noise` is the standard deviation of what is added, as a share of each matrix's own.
    """
    import numpy as np

    shutil.copytree(engine, dest)
    source = np.random.default_rng(seed)
    return sum(_damage(file, noise, source) for file in sorted((dest / WEIGHTS_FOLDER).glob("*.safetensors")))


def _damage(file: Path, noise: float, source: "Generator") -> int:
    content, damaged = bytearray(file.read_bytes()), 0
    begin = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    header = json.loads(content[LENGTH_BYTES:begin])
    header.pop("__metadata__", None)
    for tensor in header.values():
        if len(tensor["shape"]) == 2:
            first, end = (begin + offset for offset in tensor["data_offsets"])
            content[first:end] = with_noise(tensor["dtype"], bytes(content[first:end]), noise, source)
            damaged += 1
    file.unlink()  # the copy may be read-only
    file.write_bytes(content)
    return damaged


def with_noise(dtype: str, matrix: bytes, noise: float, source: "Generator") -> bytes:
    """Return the bytes of a matrix (I8 or BF16) with noise added, in its own grid."""
    import numpy as np

    if dtype == "I8":
        noisy = _noisy(np.frombuffer(matrix, np.int8).astype(np.float32), noise, source)
        return noisy.round().clip(-128, 127).astype(np.int8).tobytes()
    if dtype != "BF16":
        raise LookupError(f"a matrix of type {dtype}; engines of the self-test have I8 and BF16")
    # A bfloat16 is the upper half of a float32.
    values = (np.frombuffer(matrix, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return (_noisy(values, noise, source).view(np.uint32) >> 16).astype(np.uint16).tobytes()


def _noisy(values: "NDArray[Any]", noise: float, source: "Generator") -> "NDArray[Any]":
    import numpy as np

    added = noise * values.std() * source.standard_normal(values.shape, np.float32)
    noisy: NDArray[Any] = values + added
    return noisy
