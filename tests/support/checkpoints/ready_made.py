"""Checkpoints that others quantized: INT8 in compressed-tensors' layout, made from a plain checkpoint."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

# What config.json says of weights per channel and activations per token, all of 8 bits.
WEIGHTS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
INT8: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": WEIGHTS,
            "input_activations": WEIGHTS | {"strategy": "token", "dynamic": True},
        }
    },
}
Array = np.ndarray[Any, np.dtype[Any]]


def int8_files(plain: Path) -> dict[str, bytes | str | dict[str, object]]:
    """The files of a plain checkpoint, with its linear weights in INT8 and scales next to them."""
    tensors: dict[str, tuple[str, Array]] = {}
    for file in sorted(plain.glob("model*.safetensors")):
        for name, weight in _read(file).items():
            tensors |= _quantized(name, weight) if "_proj.weight" in name else {name: _bfloat16(weight)}
    config = json.loads((plain / "config.json").read_text()) | {"quantization_config": INT8}
    copied = {name: (plain / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
    return {**copied, "config.json": config, "model.safetensors": _written(tensors)}


def _quantized(name: str, weight: Array) -> dict[str, tuple[str, Array]]:
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    rounded = np.clip(np.rint(weight / scale), -128, 127).astype(np.int8)
    return {name: ("I8", rounded), f"{name}_scale": _bfloat16(scale)}


def _bfloat16(values: Array) -> tuple[str, Array]:
    return "BF16", (np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _read(file: Path) -> dict[str, Array]:
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    return {name: _floats(entry, content[8 + length :]) for name, entry in header.items()}


def _floats(entry: dict[str, Any], data: bytes) -> Array:
    begin, end = entry["data_offsets"]
    if entry["dtype"] == "F32":
        return np.frombuffer(data[begin:end], np.float32).reshape(entry["shape"])
    assert entry["dtype"] == "BF16"
    wide = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
    return wide.view(np.float32).reshape(entry["shape"])


def _written(tensors: dict[str, tuple[str, Array]]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (kind, values) in tensors.items():
        end = offset + values.nbytes
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + b"".join(one.tobytes() for _, one in tensors.values())
