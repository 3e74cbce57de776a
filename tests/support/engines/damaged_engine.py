"""Damage a compiled engine: the same package, with noise on every weight matrix in it.

The matrices are found by the bytes that the checkpoint has for them. Equal arguments give equal bytes.
"""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE = "model.pt2"
HEADER_LENGTH_BYTES = 8


def damage_engine(engine: Path, checkpoint: Path, dest: Path, *, noise: float, seed: int = 0) -> int:
    """Write a damaged copy of an engine tree; returns how many matrices were damaged.

    `noise` is the standard deviation of what is added, as a share of each matrix's own.
    """
    shutil.copytree(engine, dest)
    source = np.random.default_rng(seed)
    damaged = 0
    (dest / PACKAGE).unlink()  # the copy may be read-only
    with zipfile.ZipFile(engine / PACKAGE) as whole, zipfile.ZipFile(dest / PACKAGE, "w") as copy:
        for entry in whole.infolist():
            content = whole.read(entry)
            for dtype, matrix in matrices(checkpoint):
                if len(content) > len(matrix) and content.count(matrix) == 1:
                    content = content.replace(matrix, with_noise(dtype, matrix, noise, source))
                    damaged += 1
            copy.writestr(entry, content)
    return damaged


def matrices(checkpoint: Path) -> Iterator[tuple[str, bytes]]:
    """dtype and bytes of all matrices of a checkpoint, in the layout of safetensors."""
    for file in sorted(checkpoint.glob("*.safetensors")):
        raw = file.read_bytes()
        begin = HEADER_LENGTH_BYTES + int.from_bytes(raw[:HEADER_LENGTH_BYTES], "little")
        header = json.loads(raw[HEADER_LENGTH_BYTES:begin])
        header.pop("__metadata__", None)
        for tensor in header.values():
            first, end = tensor["data_offsets"]
            if len(tensor["shape"]) == 2:
                yield tensor["dtype"], raw[begin + first : begin + end]


def with_noise(dtype: str, matrix: bytes, noise: float, source: np.random.Generator) -> bytes:
    """The bytes of a matrix (I8 or BF16) with noise added, in its own grid."""
    if dtype == "I8":
        noisy = _noisy(np.frombuffer(matrix, np.int8).astype(np.float32), noise, source)
        return noisy.round().clip(-128, 127).astype(np.int8).tobytes()
    assert dtype == "BF16", dtype
    # A bfloat16 is the upper half of a float32.
    values = (np.frombuffer(matrix, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return (_noisy(values, noise, source).view(np.uint32) >> 16).astype(np.uint16).tobytes()


def _noisy(values: NDArray[np.float32], noise: float, source: np.random.Generator) -> NDArray[np.float32]:
    return values + noise * values.std() * source.standard_normal(values.shape, np.float32)
