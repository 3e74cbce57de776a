"""The files of an engine tree besides the package: manifest, facts of the decoder, tokenizer, server."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.workers.aot.config import BuildPlan
from tasks.workers.aot.request import SERVER, AotParams
from tasks.workers.common.manifest import manifest, sha256_of, write_manifest, write_sorted
from tasks.workers.common.sources import closure, write_sources

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "config.json",
)


def write_tree(
    plan: BuildPlan,
    dimensions: tuple[int, int, int],
    params: AotParams,
    tools: Mapping[str, str],
    output: Path,
) -> None:
    """Write everything but the package.

    Args:
        plan: what was compiled.
        dimensions: key heads, layers and head width of the decoder.
        params: of the request.
        tools: versions.
        output: the tree.
    """
    copy_checkpoint_files(plan.checkpoint, output)
    write_sources(closure(SERVER), output / "server")
    write_sorted(output / "decoder.json", decoder_facts(plan, dimensions))
    write_manifest(output, aot_manifest(plan, params, tools))


def copy_checkpoint_files(checkpoint: Path, output: Path) -> None:
    """Copy, byte for byte, what a server needs to turn text into tokens and back."""
    for name in TOKENIZER_FILES:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, output / name)


def decoder_facts(plan: BuildPlan, dimensions: tuple[int, int, int]) -> dict[str, Any]:
    """What the server has to know about the graph."""
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
    """The tokens that end a sequence, from generation_config.json, config.json and the tokenizer."""
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
    """A JSON file of the checkpoint; empty if there is none."""
    path = checkpoint / name
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def aot_manifest(plan: BuildPlan, params: AotParams, tools: Mapping[str, str]) -> dict[str, Any]:
    """The content of engine.json."""
    return manifest(
        params,
        plan.architecture,
        asdict(plan.shape),
        sha256_of(plan.checkpoint / "tokenizer.json"),
        tools,
        requires={"machine": plan.target.machine, "cpu_features": list(plan.target.cpu_features)},
    )
