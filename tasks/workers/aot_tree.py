"""The files of an engine tree around the package: its description, the decoder's facts, tokenizer, server.

`engine.json` follows `EngineManifest` of the artifacts package; it is written as plain JSON, since the
toolchain that compiles does not have that package. Nothing in it depends on where or when it was made.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aot_config import BuildPlan  # type: ignore[import-not-found]

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "config.json",
)
SERVER_PREFIX = "serve_aot"


def write_tree(
    plan: BuildPlan,
    dimensions: tuple[int, int, int],
    params: Mapping[str, Any],
    tools: Mapping[str, str],
    output: Path,
) -> None:
    """Write everything but the package.

    Args:
        plan: what was compiled.
        dimensions: key heads, layers and head width of the decoder.
        params: of the request: `kind` and `toolchains` (identity by role).
        tools: versions.
        output: the tree.
    """
    copy_checkpoint_files(plan.checkpoint, output)
    copy_server(output / "server")
    write_json(output / "decoder.json", decoder_facts(plan, dimensions))
    write_json(output / "engine.json", manifest(plan, params, tools))


def copy_checkpoint_files(checkpoint: Path, output: Path) -> None:
    """Copy, byte for byte, what a server needs to turn text into tokens and back."""
    for name in TOKENIZER_FILES:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, output / name)


def copy_server(directory: Path) -> None:
    """Put the server's source files into the tree, so that an engine never meets another version of it."""
    directory.mkdir()
    for path in server_sources():
        shutil.copyfile(path, directory / path.name)


def server_sources() -> list[Path]:
    """The server's source files, which stand beside this one."""
    return sorted(Path(__file__).parent.glob(f"{SERVER_PREFIX}*.py"))


def decoder_facts(plan: BuildPlan, dimensions: tuple[int, int, int]) -> dict[str, Any]:
    """What the server has to know of the graph."""
    config = json.loads((plan.checkpoint / "config.json").read_text(encoding="utf-8"))
    key_heads, layers, width = dimensions
    return {
        "dtype": plan.dtype,
        "layers": layers,
        "key_heads": key_heads,
        "head_width": width,
        "vocab_size": config["vocab_size"],
        "eos_token_ids": eos_token_ids(plan.checkpoint, config),
    }


def eos_token_ids(checkpoint: Path, config: Mapping[str, Any]) -> list[int]:
    """Tokens that end a sequence: those of generation_config.json, of config.json and of the tokenizer."""
    named = [_read(checkpoint, "generation_config.json").get("eos_token_id"), config.get("eos_token_id")]
    ids = {one for ids in named if ids is not None for one in (ids if isinstance(ids, list) else [ids])}
    token = _read(checkpoint, "tokenizer_config.json").get("eos_token")
    text = token.get("content") if isinstance(token, dict) else token
    if text is not None:
        tokenizer = _read(checkpoint, "tokenizer.json")
        known = dict(tokenizer.get("model", {}).get("vocab", {}))
        known |= {added["content"]: added["id"] for added in tokenizer.get("added_tokens", [])}
        ids |= {known[text]} if text in known else set()
    return sorted(ids)


def _read(checkpoint: Path, name: str) -> dict[str, Any]:
    """A JSON file of the checkpoint; empty where there is none."""
    path = checkpoint / name
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def manifest(plan: BuildPlan, params: Mapping[str, Any], tools: Mapping[str, str]) -> dict[str, Any]:
    """`engine.json`."""
    return {
        "format": 1,
        "kind": params["kind"],
        "architecture": plan.architecture,
        "quantization": plan.recipe,
        "shape": asdict(plan.shape),
        "tokenizer_sha256": hashlib.sha256((plan.checkpoint / "tokenizer.json").read_bytes()).hexdigest(),
        "requires": {"machine": plan.target.machine, "cpu_features": list(plan.target.cpu_features)},
        "toolchains": dict(params["toolchains"]),
        "tools": dict(tools),
        "serve": dict(params["serve"]),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write with sorted keys, so that equal content is equal bytes."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
