"""Reads a TensorRT-LLM checkpoint before hours are spent on it: config.json and one weight file per rank.

Standard library only. This checks that the checkpoint is complete and the requested one; the tool checks
tensor names and shapes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import read_json
from tasks.workers.common.safetensors import require_whole
from tasks.workers.trt_plan.model_file import require_readable
from tasks.workers.trt_plan.request import TrtPlanAdmission, WantedCheckpoint

FIX = "quantize the checkpoint again for this variant (enginery build --force)"
# What each layer has if each has its own format; the builder reads it next to config.json.
LAYERS_FILE = "quant_cfg.json"
RANK_FILE = re.compile(r"rank(\d+)\.safetensors")
# transformers 5 writes this class into tokenizer_config.json; transformers 4, which serves plans, has none.
TOKENIZER_OF_TRANSFORMERS_5 = "TokenizersBackend"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is complete.

    Attributes:
        directory: where it is.
        architecture: class of the model, such as LlamaForCausalLM.
        weights_bytes: size of all ranks' files.
    """

    directory: Path
    architecture: str
    weights_bytes: int


def read_checkpoint(directory: Path, wanted: WantedCheckpoint, admission: TrtPlanAdmission) -> Checkpoint:
    """Read a checkpoint and check that it is as `wanted`.

    Args:
        directory: config.json, rankN.safetensors, tokenizer.json.
        wanted: how it is divided, and its formats.
        admission: how the tool reads its config.json.

    Raises:
        Refusal: a file is missing, truncated or of another format, or the checkpoint is another one.
    """
    config = read_json(directory / "config.json", FIX)
    _require_keys(config, directory)
    _require_mapping(config["mapping"], wanted)
    _require_quantization(config["quantization"], wanted)
    _require_layers(directory, wanted)
    require_readable(config, admission)
    ranks = _rank_files(directory, wanted.world_size)
    for path in ranks:
        require_whole(path, FIX)
    _require_tokenizer(directory)
    return Checkpoint(directory, config["architecture"], sum(path.stat().st_size for path in ranks))


def _require_keys(config: Mapping[str, Any], directory: Path) -> None:
    missing = [key for key in ("architecture", "dtype", "mapping", "quantization") if key not in config]
    if missing:
        what = f"config.json is not that of a TensorRT-LLM checkpoint: no {', '.join(missing)}"
        raise _refused(what, directory / "config.json")


def _require_mapping(mapping: Mapping[str, Any], wanted: WantedCheckpoint) -> None:
    sizes = wanted.world_size, wanted.tensor_parallel, wanted.pipeline_parallel
    expected = dict(zip(("world_size", "tp_size", "pp_size"), sizes, strict=True))
    found = {key: mapping.get(key, 1) for key in expected}
    if found != expected:
        raise _refused(
            f"the checkpoint is divided for {_listed(found)}, but the engine needs {_listed(expected)}"
        )


def _require_quantization(found: Mapping[str, Any], wanted: WantedCheckpoint) -> None:
    asked = {"quant_algo": wanted.quant_algo, "kv_cache_quant_algo": wanted.kv_cache_quant_algo}
    only = found.get("quant_algo")
    if wanted.layer_quant_algos and only in wanted.layer_quant_algos:
        fix = "name the recipe of that format instead of recipe auto, or change quantization.search"
        raise Refusal("input", f"the search chose {only} for every layer", where="checkpoint", fix=fix)
    for key, algo in asked.items():
        if found.get(key) != algo:
            raise _refused(f"{key} of the checkpoint is {found.get(key)}, but the engine needs {algo}")


def _require_layers(directory: Path, wanted: WantedCheckpoint) -> None:
    """Refuse a checkpoint of several formats whose layers are not described, or have others."""
    if not wanted.layer_quant_algos:
        return
    layers = read_json(directory / LAYERS_FILE, FIX).get("quantized_layers") or {}
    found = sorted({str(layer.get("quant_algo")) for layer in layers.values()})
    if not found or set(found) - set(wanted.layer_quant_algos):
        what = (
            f"its layers have {', '.join(found) or 'no formats'}, not {', '.join(wanted.layer_quant_algos)}"
        )
        raise _refused(what, directory / LAYERS_FILE)


def _rank_files(directory: Path, world_size: int) -> list[Path]:
    expected = [directory / f"rank{rank}.safetensors" for rank in range(world_size)]
    present = {path.name for path in directory.iterdir() if RANK_FILE.fullmatch(path.name)}
    missing = [path.name for path in expected if path.name not in present]
    extra = sorted(present - {path.name for path in expected})
    if missing:
        raise _refused(f"ranks are missing: {', '.join(missing)}", directory)
    if extra:
        raise _refused(f"there are more ranks than {world_size}: {', '.join(extra)}", directory)
    return expected


def _require_tokenizer(directory: Path) -> None:
    if not (directory / "tokenizer.json").is_file():
        raise _refused("there is no tokenizer.json, which trtllm-build does not make either", directory)
    settings = directory / "tokenizer_config.json"
    if settings.is_file() and read_json(settings, FIX).get("tokenizer_class") == TOKENIZER_OF_TRANSFORMERS_5:
        raise Refusal(
            "unsupported",
            f"the tokenizer is from transformers 5 (tokenizer_class {TOKENIZER_OF_TRANSFORMERS_5}), "
            "which the server of plans cannot read",
            where=str(settings),
            fix="save the checkpoint with transformers 4, or choose kind trtllm-torch",
        )


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sizes.items())


def _refused(what: str, where: Path | None = None) -> Refusal:
    return Refusal("input", what, where=str(where) if where else "checkpoint", fix=FIX)
