"""Quantization recipes and KV cache formats: data (`data/recipes.yaml`), each row with its source."""

from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from engine_specs.reading import RECIPES_FILE, StrictFrozen, one_of, read_data, refuse_duplicates

RecipeId = Annotated[str, Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")]
ModelOptLine = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]
RecipeForm = Literal["none", "preset", "file", "search", "source"]
Device = Literal["cpu", "cuda"]


class Preset(StrictFrozen):
    """How one line of ModelOpt names a recipe, and where it can apply it."""

    modelopt: ModelOptLine = Field(description="Line of ModelOpt, such as 0.47.")
    name: str = Field(
        pattern=r"^[A-Z][A-Z0-9_]+$",
        description="Its constant, such as FP8_DEFAULT_CFG, or one of the quantize worker if it has none.",
    )
    devices: Annotated[tuple[Device, ...], Field(strict=False, min_length=1)] = Field(
        description="Devices on which quantizing and exporting with it works."
    )
    source: str = Field(min_length=10, description="How that is known.")


class Presets(StrictFrozen):
    """What recipes and KV cache formats have in common."""

    name: RecipeId = Field(description="Name by which specs choose it.")
    description: str = Field(min_length=1, description="What it does, in one sentence.")
    presets: Annotated[tuple[Preset, ...], Field(strict=False)] = Field(
        description="ModelOpt's constants by line; a line without one does not have it."
    )
    needs_calibration: bool = Field(description="Whether text must run through the model to find its scales.")
    source: str = Field(min_length=10, description="Where the facts of this row come from.")

    def preset(self, modelopt: str) -> Preset | None:
        """Return what a line of ModelOpt calls it; None if the line does not have it."""
        return next((row for row in self.presets if row.modelopt == modelopt), None)


class Recipe(Presets):
    """How weights (and with some recipes activations) are quantized."""

    form: RecipeForm = Field(
        description="none: weights stay as they are; preset: a constant of ModelOpt; file: a recipe file of "
        "ModelOpt that the spec names; search: AutoQuantize chooses a recipe for each layer; source: others "
        "quantized the checkpoint that the spec names."
    )
    quant_algo: str | None = Field(
        description="`quant_algo` that exports carry (hf_quant_config.json, TensorRT-LLM's config.json)."
    )
    weight_bits: int | None = Field(
        ge=1,
        le=16,
        description="Bits of a quantized weight; null: as in the checkpoint, or known later.",
    )
    group_size: int | None = Field(
        ge=1, description="Weights of one row that share a scale; null: a scale per channel or tensor."
    )
    scale_bits: int = Field(ge=0, le=64, description="Bits of the scales of one group.")
    weight_input_multiple: int = Field(
        ge=1, description="What the input dimension of a weight must be a multiple of."
    )
    left_out: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        description="Modules that it leaves as they are."
    )


class KvCacheFormat(Presets):
    """How keys and values are stored while generating."""

    quant_algo: str | None = Field(description="`kv_cache_quant_algo` that exports carry.")
    bits: int | None = Field(ge=1, le=16, description="Bits of a stored value; null: as computed.")
    group_size: int | None = Field(ge=1, description="Values that share a scale; null: a scale per tensor.")
    scale_bits: int = Field(ge=0, le=64, description="Bits of the scales of one group.")


class RecipeTable(StrictFrozen):
    """The content of `data/recipes.yaml`."""

    recipes: Annotated[tuple[Recipe, ...], Field(strict=False, min_length=1)] = Field(
        description="One row per recipe."
    )
    kv_caches: Annotated[tuple[KvCacheFormat, ...], Field(strict=False, min_length=1)] = Field(
        description="One row per format of the KV cache."
    )


@lru_cache(maxsize=1)
def _table() -> RecipeTable:
    table = read_data(RECIPES_FILE, RecipeTable)
    refuse_duplicates(RECIPES_FILE, "recipe", [row.name for row in table.recipes])
    refuse_duplicates(RECIPES_FILE, "KV cache format", [row.name for row in table.kv_caches])
    return table


@lru_cache(maxsize=1)
def load_recipes() -> MappingProxyType[str, Recipe]:
    """Return all recipes by name; raises SpecInvalid if the data file is invalid."""
    return MappingProxyType({row.name: row for row in _table().recipes})


@lru_cache(maxsize=1)
def load_kv_caches() -> MappingProxyType[str, KvCacheFormat]:
    """Return all KV cache formats by name; raises SpecInvalid if the data file is invalid."""
    return MappingProxyType({row.name: row for row in _table().kv_caches})


RecipeName = one_of("recipe", load_recipes)
KvCacheName = one_of("KV cache format", load_kv_caches)
