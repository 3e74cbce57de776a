"""The files of an engine tree besides the packages: manifest, facts, weights, tokenizer, server.

Weights are the checkpoint's own files, byte for byte, so that a store keeps them once.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.workers.aot.config import BuildPlan
from tasks.workers.aot.request import SERVER, AotParams
from tasks.workers.common.gpu_host import GpuFacts
from tasks.workers.common.manifest import manifest, sha256_of, write_manifest, write_sorted
from tasks.workers.common.sources import closure, write_sources
from tasks.workers.completions_server.facts import FACTS_FILE, WEIGHTS_FOLDER, Source

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "config.json",
)


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a decoder, as `Facts` has them."""

    layers: int
    key_heads: int
    head_width: int
    step_queries: int


@dataclass(frozen=True)
class Built:
    """With what an engine was built, and on which GPU; None if it computes on the processor."""

    tools: dict[str, str]
    gpu: GpuFacts | None


def write_tree(
    plan: BuildPlan,
    dimensions: Dimensions,
    sources: Mapping[str, Source],
    params: AotParams,
    built: Built,
    output: Path,
) -> None:
    """Write everything but the packages and the constants.

    Args:
        plan: what was compiled.
        dimensions: of the decoder.
        sources: where the graphs' weights come from.
        params: of the request.
        built: with what and where.
        output: the tree.
    """
    copy_checkpoint_files(plan.checkpoint, output)
    write_sources(closure(SERVER), output / "server")
    write_sorted(output / FACTS_FILE, decoder_facts(plan, dimensions, sources))
    write_manifest(output, aot_manifest(plan, params, built))


def copy_checkpoint_files(checkpoint: Path, output: Path) -> None:
    """Copy, byte for byte, the weights, and what a server needs to turn text into tokens and back."""
    for name in TOKENIZER_FILES:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, output / name)
    (output / WEIGHTS_FOLDER).mkdir()
    for file in sorted(checkpoint.glob("*.safetensors")):
        shutil.copyfile(file, output / WEIGHTS_FOLDER / file.name)


def decoder_facts(plan: BuildPlan, dimensions: Dimensions, sources: Mapping[str, Source]) -> dict[str, Any]:
    """What the server has to know about the graph."""
    config = json.loads((plan.checkpoint / "config.json").read_text(encoding="utf-8"))
    return {
        "device": plan.target.device,
        "dtype": plan.dtype,
        **asdict(dimensions),
        "vocab_size": config["vocab_size"],
        "eos_token_ids": eos_token_ids(plan.checkpoint, config),
        "weights": {name: asdict(source) for name, source in sources.items()},
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


def aot_manifest(plan: BuildPlan, params: AotParams, built: Built) -> dict[str, Any]:
    """The content of engine.json: kernels load on any GPU of a capability, but were chosen on this one."""
    target, gpu, facts = plan.target, built.gpu, {}
    requires: dict[str, Any] = {"machine": target.machine, "cpu_features": list(target.cpu_features)}
    if gpu is not None:
        capability = {"compute_capability": gpu.compute_capability}
        requires |= {**capability, "gpu_names": list(target.gpu_names), "gpu_count": 1}
        built_on = {**capability, "gpu_name": gpu.name, "driver": gpu.driver, "cuda": built.tools["cuda"]}
        facts["built_on"] = built_on
    return manifest(
        params,
        plan.architecture,
        asdict(plan.shape),
        sha256_of(plan.checkpoint / "tokenizer.json"),
        built.tools,
        requires=requires,
        **facts,
    )
