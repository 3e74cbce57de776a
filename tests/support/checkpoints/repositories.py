"""Repositories for tests: the shape of real ones, a few hundred kilobytes, random weights."""

import json
import random
import struct
from pathlib import Path

ARCHITECTURE = "LlamaForCausalLM"
Files = dict[str, bytes | str | dict[str, object]]
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write_repo(
    folder: Path, files: dict[str, bytes | str | dict[str, object]], access: dict[str, object]
) -> Path:
    """Write a repository; dictionaries become JSON. `access` is what .hub.json says."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    if access:
        (folder / ".hub.json").write_text(json.dumps(access))
    return folder


def sharded_model(root: Path, name: str = "tiny", **access: object) -> Path:
    """A model in two shards, with the second formats and the clutter that real repositories carry."""
    files: Files = {
        "config.json": {"architectures": [ARCHITECTURE], "hidden_size": 64},
        "generation_config.json": {"eos_token_id": 1},
        "tokenizer.json": {"version": "1.0"},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
        "model.safetensors.index.json": {"weight_map": {f"layer.{i}.weight": SHARDS[i] for i in range(2)}},
        "README.md": "# tiny\n",
        "pytorch_model.bin": b"\x80\x02not weights",
        "original/consolidated.00.pth": b"\x80\x02not weights",
        "adapter_model.safetensors": safetensors({"a.weight": (4, 4)}),
        "modeling_tiny.py": "raise SystemExit\n",
    }
    for index, shard in enumerate(SHARDS):
        files[shard] = safetensors({f"layer.{index}.weight": (256, 256)}, seed=index)
    return write_repo(root / "acme" / name, files, access)


def safetensors(shapes: dict[str, tuple[int, int]], seed: int = 0) -> bytes:
    """A safetensors file of random bfloat16 matrices."""
    header: dict[str, object] = {}
    offset = 0
    for name, (rows, columns) in shapes.items():
        size = 2 * rows * columns
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + random.Random(seed).randbytes(offset)
