"""The request to the quantize worker: the variant's choices, and what the tables say about them.

Pure, except that a recipe file is read.

Invariants:
- `request_params` is part of the fingerprint: it holds what decides the result, and of a table only the row
  that this variant uses. A setting that cannot change the result has a fixed value, so that it never causes
  work to be repeated: parallelism, for example, if the layout does not divide the weights.
- `admission` is not: it only holds what the worker may refuse by. A new row in a table changes nothing that
  was made before.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from engine_specs.spec import RecipeFile, ResolvedVariant
from engine_specs.tables import Device, KindFacts, Presets, Recipe, load_kinds, load_kv_caches, load_recipes
from tasks.errors import RecipeFileInvalid
from tasks.workers.quantize.request import (
    CacheFormat,
    Calibration,
    Export,
    FormatNeeds,
    QuantizeAdmission,
    QuantizeParams,
    RecipeText,
    Search,
)
from tasks.workers.quantize.request import Recipe as RecipeAsked

Config = Mapping[str, Any]


def request_params(variant: ResolvedVariant, config: Config | None, spec_dir: Path) -> QuantizeParams:
    """Return what decides the quantized checkpoint.

    Args:
        variant: the variant to quantize for.
        config: config.json of the checkpoint; None if it is not known yet, as in a dry run.
        spec_dir: directory that the path of a recipe file is relative to.

    Raises:
        RecipeFileInvalid: see `read_recipe_file`.
    """
    kind, asked = load_kinds()[variant.engine.kind], variant.quantization
    cache = load_kv_caches()[asked.kv_cache]
    return QuantizeParams(
        device=_device(variant),
        recipe=_recipe(asked.recipe, kind),
        kv_cache=CacheFormat(cache.name, _preset(cache, kind), cache.quant_algo),
        file=read_recipe_file(asked.file, spec_dir) if asked.file else None,
        search=_search(variant, kind),
        export=_export(variant, kind, config or {}),
        calibration=Calibration(asked.calibration.sequence_length) if asked.calibration else None,
    )


def admission(variant: ResolvedVariant) -> QuantizeAdmission:
    """Return what the worker refuses a checkpoint, device or toolchain by."""
    kind = load_kinds()[variant.engine.kind]
    return QuantizeAdmission(
        modelopt=kind.modelopt,
        transformers_major=kind.transformers_major,
        architectures=tuple(kind.architecture_names),
        formats=tuple(_formats(variant, kind)),
    )


def names_family(variant: ResolvedVariant) -> bool:
    """Whether the export names the model's family, and so depends on the checkpoint's architecture."""
    return load_kinds()[variant.engine.kind].export_format == "tensorrt-llm"


def read_recipe_file(file: RecipeFile, spec_dir: Path) -> RecipeText:
    """Read a recipe file: its path as in the spec, its digest and its text.

    Raises:
        RecipeFileInvalid: there is no such file, it is not text, or it has another digest.
    """
    path = spec_dir / file.path
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
            f"the recipe file has sha256 {found}, but the spec names {file.sha256}",
            where=str(path),
            fix="if this is the right file, set quantization.file.sha256 to its digest",
        )
    return RecipeText(file.path, found, text)


def _device(variant: ResolvedVariant) -> Device:
    return variant.quantization.device or variant.target.accelerator


def _recipe(name: str, kind: KindFacts) -> RecipeAsked:
    return RecipeAsked(name, _preset(load_recipes()[name], kind))


def _preset(row: Presets, kind: KindFacts) -> str | None:
    """Return what the kind's line of ModelOpt calls a recipe or KV cache format."""
    preset = row.preset(kind.modelopt)
    return preset.name if preset else None


def _search(variant: ResolvedVariant, kind: KindFacts) -> Search | None:
    search = variant.quantization.search
    if search is None:
        return None
    return Search(
        effective_bits=search.effective_bits,
        method=search.method,
        score_samples=search.score_samples,
        candidates=tuple(_recipe(name, kind) for name in search.candidates),
    )


def _export(variant: ResolvedVariant, kind: KindFacts, config: Config) -> Export:
    divided = names_family(variant)
    return Export(
        format=kind.export_format,
        tensor_parallel=variant.tensor_parallel if divided else 1,
        pipeline_parallel=variant.pipeline_parallel if divided else 1,
        decoder_type=_decoder_type(kind, config) if divided else None,
    )


def _decoder_type(kind: KindFacts, config: Config) -> str | None:
    """Return ModelOpt's name for the model family; None if the kind does not know the architecture."""
    names = config.get("architectures") or [""]
    row = kind.architecture(str(names[0]))
    return row.decoder_type if row else None


def _formats(variant: ResolvedVariant, kind: KindFacts) -> Iterator[FormatNeeds]:
    """Yield what each format needs: the recipe, the candidates of a search, and the KV cache."""
    asked, recipes = variant.quantization, load_recipes()
    yield _recipe_needs(recipes[asked.recipe], kind)
    for name in asked.search.candidates if asked.search else ():
        # A search runs each candidate, and ModelOpt computes in FP4 on GPUs only.
        needs = _recipe_needs(recipes[name], kind)
        yield replace(needs, devices=("cuda",)) if "NVFP4" in (recipes[name].quant_algo or "") else needs
    yield _needs(load_kv_caches()[asked.kv_cache], kind)


def _recipe_needs(recipe: Recipe, kind: KindFacts) -> FormatNeeds:
    support = kind.recipe(recipe.name)
    own = support.weight_input_multiple if support else 1
    multiple = math.lcm(recipe.weight_input_multiple, own)
    return replace(_needs(recipe, kind), weight_input_multiple=multiple)


def _needs(row: Presets, kind: KindFacts) -> FormatNeeds:
    """Return the devices that a format works on (all, without a preset), and whether it needs texts."""
    preset = row.preset(kind.modelopt)
    return FormatNeeds(
        name=row.name,
        devices=tuple(preset.devices) if preset else get_args(Device),
        needs_calibration=row.needs_calibration,
        weight_input_multiple=1,
    )
