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


def read_header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensors by name, with dtype, shape and offsets."""
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= MOST_HEADER_BYTES:
            raise Refusal("input", "this is not a safetensors file", str(file), "fetch the checkpoint again")
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


def write_json(file: Path, document: dict[str, Any]) -> None:
    """Write a JSON object to a file."""
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _is_linear(name: str) -> bool:
    others = NOT_LINEAR if name.startswith("transformer.") else NOT_LINEAR + HF_ROUTERS
    return not any(part in name for part in others)
