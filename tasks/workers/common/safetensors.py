"""What a checkpoint's files say without a weight being read: config.json and the headers of safetensors.

Standard library only. Format of the headers: safetensors, an unsigned 64-bit little-endian length and that
many bytes of JSON.
"""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import FIX

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 100_000_000
# Embeddings, heads, norms and routers stay as they are; scales of the KV cache belong to no linear layer.
NOT_LINEAR = ("embed", "lm_head", "norm", "ln_f", "router", "kv_cache", "k_scale", "v_scale")
# The routers of Mixtral and of Qwen's experts. In TensorRT-LLM's layout `mlp.gate` is half of a feed-forward
# layer.
HF_ROUTERS = ("block_sparse_moe.gate.", "mlp.gate.")


def tensor_headers(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of every tensor in a directory, with dtype, shape and offsets; by file, then by name."""
    for file in sorted(folder.glob("*.safetensors")):
        yield from sorted(read_header(file).items())


def linear_shapes(checkpoint: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """The name and shape (output, input) of each weight matrix of a linear layer."""
    for name, tensor in tensor_headers(checkpoint):
        shape = tensor.get("shape", ())
        if name.endswith(".weight") and len(shape) == 2 and _is_linear(name):
            yield name, (shape[0], shape[1])


def linear_weights(checkpoint: Path) -> int:
    """The number of weights in all linear layers of an unquantized checkpoint."""
    return sum(math.prod(shape) for _, shape in linear_shapes(checkpoint))


def linear_bytes(export: Path) -> int:
    """The bytes that an export spends on linear layers: weights and scales, without biases."""
    return sum(
        tensor["data_offsets"][1] - tensor["data_offsets"][0]
        for name, tensor in tensor_headers(export)
        if _is_linear(name) and not name.endswith("bias")
    )


def weight_bytes(checkpoint: Path) -> int:
    """The total size of a checkpoint's safetensors, in bytes."""
    return sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))


def read_header(file: Path, fix: str = FIX) -> dict[str, Any]:
    """Read the header of a safetensors file: tensors by name, with dtype, shape and offsets.

    Raises:
        Refusal: it is not such a file, or ends within its header; `fix` is what the user can do.
    """
    return _parse(file, fix)[1]


def require_whole(file: Path, fix: str = FIX) -> None:
    """Check a file's size against what its header declares.

    Raises:
        Refusal: they differ, or it is not a safetensors file.
    """
    length, header = _parse(file, fix)
    try:
        ends = [entry["data_offsets"][1] for entry in header.values()]
    except (KeyError, TypeError, IndexError) as error:
        raise _not_safetensors(file, f"its header lacks {error}", fix) from None
    size, declared = file.stat().st_size, LENGTH_BYTES + length + max(ends, default=0)
    if not ends or size != declared:
        what = f"{file.name} has {size} bytes and declares {declared}: it is truncated"
        raise Refusal("input", what, str(file), fix)


def _parse(file: Path, fix: str) -> tuple[int, dict[str, Any]]:
    """The length of a header in bytes, and its tensors."""
    with file.open("rb") as stream:
        prefix = stream.read(LENGTH_BYTES)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == LENGTH_BYTES else 0
        if not 0 < length <= MOST_HEADER_BYTES:
            raise _not_safetensors(file, f"it declares a header of {length} bytes", fix)
        body = stream.read(length)
    if len(body) < length:
        what = f"{file.name} ends within its header of {length} bytes: it is truncated"
        raise Refusal("input", what, str(file), fix)
    try:
        header = dict(json.loads(body))
    except (ValueError, TypeError) as error:
        raise _not_safetensors(file, str(error), fix) from None
    header.pop("__metadata__", None)
    return length, header


def _not_safetensors(file: Path, why: str, fix: str) -> Refusal:
    return Refusal("input", f"{file.name} is not a safetensors file: {why}", str(file), fix)


def _is_linear(name: str) -> bool:
    others = NOT_LINEAR if name.startswith("transformer.") else NOT_LINEAR + HF_ROUTERS
    return not any(part in name for part in others)
