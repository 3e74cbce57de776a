"""What an engine tree holds beside the plans: the tokenizer, and engine.json.

`engine.json` follows `EngineManifest` of the artifacts package; it is written as plain JSON, since the
toolchain that compiles does not have that package.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHAPE = ("max_batch_size", "max_input_len", "max_seq_len", "max_num_tokens")
# config.json is the engine's own; the tool reads no other file of the checkpoint.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)


def copy_tokenizer(checkpoint: Path, output: Path) -> list[str]:
    """Copy, byte for byte, what the server needs to turn text into tokens and back; returns the names."""
    present = [name for name in TOKENIZER_FILES if (checkpoint / name).is_file()]
    for name in present:
        shutil.copyfile(checkpoint / name, output / name)
    return present


def manifest(
    params: Mapping[str, Any],
    architecture: str,
    sizes: Mapping[str, int],
    built_on: Mapping[str, str],
    tools: Mapping[str, str],
    tokenizer: Path,
) -> dict[str, Any]:
    """`engine.json`.

    Args:
        params: of the request.
        architecture: class of the model.
        sizes: as built, by the tool's names.
        built_on: gpu_name, compute_capability, driver and cuda.
        tools: versions.
        tokenizer: the checkpoint's tokenizer.json.
    """
    target, split = params["target"], params["checkpoint"]
    return {
        "format": 1,
        "kind": params["kind"],
        "architecture": architecture,
        "quantization": params["recipe"],
        "shape": {name: sizes[name] for name in SHAPE},
        "tokenizer_sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
        "requires": {
            "machine": target["machine"],
            # A plan loads on every GPU of its compute capability, but was timed on these.
            "gpu_names": target["gpu_names"],
            "compute_capability": target["compute_capability"],
            "gpu_count": split["tensor_parallel"] * split["pipeline_parallel"],
            "driver_floor": params["tool"]["driver_floor"],
        },
        "toolchains": dict(params["toolchains"]),
        "tools": dict(tools),
        "built_on": dict(built_on),
        "stand_in": bool(params.get("stand_in", False)),
        "serve": dict(params["serve"]),
    }


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write with sorted keys, so that equal content is equal bytes."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
