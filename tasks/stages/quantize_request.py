"""What the quantize worker is told: the variant's choices, and what the tables say of them. Pure but for one
file.

Everything here enters the fingerprint. A setting that cannot change the result stays at one value, so that it
never makes work twice: parallelism where the layout does not divide the weights, for one.
"""

import hashlib
import math
from pathlib import Path
from typing import Any, get_args

from engine_specs.spec import RecipeFile, RecipeSearch, ResolvedVariant
from engine_specs.tables import (
    Device,
    KindFacts,
    KvCacheFormat,
    Presets,
    Recipe,
    load_kinds,
    load_kv_caches,
    load_recipes,
)
from tasks.errors import RecipeFileInvalid


def request_params(variant: ResolvedVariant, beside: Path) -> dict[str, Any]:
    """Params of the worker `quantize_modelopt`, which documents them.

    Args:
        variant: what to quantize for.
        beside: directory that the path of a recipe file is relative to.

    Raises:
        RecipeFileInvalid: see `read_recipe_file`.
    """
    kind, asked = load_kinds()[variant.engine.kind], variant.quantization
    return {
        "modelopt": kind.modelopt,
        "transformers_major": kind.transformers_major,
        "device": asked.device or variant.target.accelerator,
        "recipe": _recipe(load_recipes()[asked.recipe], kind),
        "kv_cache": _kv_cache(load_kv_caches()[asked.kv_cache], kind),
        "file": read_recipe_file(asked.file, beside) if asked.file else None,
        "search": _search(asked.search, kind) if asked.search else None,
        "architectures": list(kind.architecture_names),
        "export": _export(variant, kind),
        "calibration": {"sequence_length": asked.calibration.sequence_length} if asked.calibration else None,
    }


def read_recipe_file(file: RecipeFile, beside: Path) -> dict[str, str]:
    """Path as the spec has it, digest and text of a recipe file.

    Raises:
        RecipeFileInvalid: no such file, no text, or not the file that the digest names.
    """
    path = beside / file.path
    try:
        content = path.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeFileInvalid(
            f"the recipe file cannot be read: {error}", where=str(path), fix="correct quantization.file.path"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise RecipeFileInvalid(
            f"the recipe file has sha256 {found}, and the spec names {file.sha256}",
            where=str(path),
            fix="if the file is meant to be this one, write its digest into quantization.file.sha256",
        )
    return {"path": file.path, "sha256": found, "text": text}


def _recipe(recipe: Recipe, kind: KindFacts) -> dict[str, Any]:
    support = kind.recipe(recipe.name)
    own = support.weight_input_multiple if support else 1
    return {
        "name": recipe.name,
        **_preset(recipe, kind),
        "needs_calibration": recipe.needs_calibration,
        "weight_input_multiple": math.lcm(recipe.weight_input_multiple, own),
    }


def _kv_cache(cache: KvCacheFormat, kind: KindFacts) -> dict[str, Any]:
    return {
        "name": cache.name,
        **_preset(cache, kind),
        "quant_algo": cache.quant_algo,
        "needs_calibration": cache.needs_calibration,
    }


def _search(search: RecipeSearch, kind: KindFacts) -> dict[str, Any]:
    return {
        "effective_bits": search.effective_bits,
        "method": search.method,
        "score_samples": search.score_samples,
        "candidates": [_candidate(load_recipes()[name], kind) for name in search.candidates],
    }


def _export(variant: ResolvedVariant, kind: KindFacts) -> dict[str, Any]:
    divided = kind.export_format == "tensorrt-llm"
    families = {row.name: row.decoder_type for row in kind.architectures if row.decoder_type}
    return {
        "format": kind.export_format,
        "tensor_parallel": variant.tensor_parallel if divided else 1,
        "pipeline_parallel": variant.pipeline_parallel if divided else 1,
        "decoder_types": families if divided else {},
    }


def _candidate(recipe: Recipe, kind: KindFacts) -> dict[str, Any]:
    """A search runs each candidate, and ModelOpt computes with FP4 on GPUs only."""
    params = _recipe(recipe, kind)
    return params | {"devices": ["cuda"]} if "NVFP4" in (recipe.quant_algo or "") else params


def _preset(row: Presets, kind: KindFacts) -> dict[str, Any]:
    """ModelOpt's constant, and where it works; no constant works everywhere."""
    preset = row.preset(kind.modelopt)
    return {
        "preset": preset.name if preset else None,
        "devices": list(preset.devices) if preset else list(get_args(Device)),
    }
