"""Writes `engine.json`, in which an engine tree says what it is and how it is served.

Invariants:
- It follows `EngineManifest` of the artifacts package. It is written as plain JSON, because toolchains do not
  have that package.
- Equal content means equal bytes, and nothing in it depends on where or when it was written.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.workers.common.requests import EngineParams

MANIFEST_FILE = "engine.json"


def manifest(
    asked: EngineParams,
    architecture: str,
    shape: Mapping[str, int],
    tokenizer_sha256: str,
    tools: Mapping[str, str],
    requires: Mapping[str, Any],
    **facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of engine.json.

    Args:
        asked: the request's params.
        architecture: class of the model.
        shape: max_batch_size, max_input_len, max_seq_len and max_num_tokens, as built.
        tokenizer_sha256: digest of the checkpoint's tokenizer.json.
        tools: versions.
        requires: what a host must have besides the driver, which the request names.
        facts: what else a kind says about its engine: `built_on`, `tuning`.
    """
    return {
        "format": 1,
        "kind": asked.kind,
        "architecture": architecture,
        "quantization": asked.recipe,
        "shape": dict(shape),
        "tokenizer_sha256": tokenizer_sha256,
        "requires": {**requires, "driver_floor": asked.driver_floor},
        "toolchains": asked.toolchains,
        "tools": dict(tools),
        "stand_in": asked.stand_in,
        "serve": asked.serve,
        "unchecked_args": list(asked.unchecked_args),
        **({"speculative": asked.speculative} if asked.speculative else {}),
        **facts,
    }


def write_manifest(tree: Path, content: Mapping[str, Any]) -> None:
    """Write engine.json into a tree."""
    write_sorted(tree / MANIFEST_FILE, content)


def write_sorted(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with sorted keys; numbers that JSON does not have are refused."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Digest of a small file, 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
