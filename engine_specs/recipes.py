"""Quantization recipes and KV cache formats: data (`data/recipes.yaml`), each row with its source."""

from functools import lru_cache
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from engine_specs.data_files import RECIPES_FILE, read_data, refuse_duplicates
from engine_specs.frozen import Frozen
from engine_specs.names import one_of

RecipeId = Annotated[str, Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")]


class Recipe(Frozen):
    """How weights (and with some recipes activations) are quantized."""

    name: RecipeId = Field(description="Name by which specs choose it.")
    description: str = Field(min_length=1, description="What it does, in one sentence.")
    preset: str | None = Field(
        description="ModelOpt's constant, such as FP8_DEFAULT_CFG; null: nothing is quantized."
    )
    quant_algo: str | None = Field(
        description="`quant_algo` in the hf_quant_config.json that its export writes."
    )
    weight_bits: int | None = Field(
        ge=1, le=16, description="Bits of a quantized weight; null: as in the checkpoint."
    )
    needs_calibration: bool = Field(description="Whether text must run through the model to find its scales.")
    weight_input_multiple: int = Field(
        ge=1, description="What the input dimension of a weight must divide by."
    )
    left_out: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        description="Modules that it leaves as they are."
    )
    source: str = Field(min_length=10, description="Where the facts of this row come from.")


class KvCacheFormat(Frozen):
    """How keys and values are stored while generating."""

    name: RecipeId = Field(description="Name by which specs choose it.")
    description: str = Field(min_length=1, description="What it does, in one sentence.")
    preset: str | None = Field(description="ModelOpt's constant, added to the recipe's; null: as computed.")
    bits: int | None = Field(ge=1, le=16, description="Bits of a stored value; null: as computed.")
    needs_calibration: bool = Field(description="Whether text must run through the model to find its scales.")
    source: str = Field(min_length=10, description="Where the facts of this row come from.")


class RecipeTable(Frozen):
    """`data/recipes.yaml`."""

    recipes: Annotated[tuple[Recipe, ...], Field(strict=False, min_length=1)] = Field(
        description="One row a recipe."
    )
    kv_caches: Annotated[tuple[KvCacheFormat, ...], Field(strict=False, min_length=1)] = Field(
        description="One row a format of the KV cache."
    )


@lru_cache(maxsize=1)
def _table() -> RecipeTable:
    table = read_data(RECIPES_FILE, RecipeTable)
    refuse_duplicates(RECIPES_FILE, "recipe", [row.name for row in table.recipes])
    refuse_duplicates(RECIPES_FILE, "KV cache format", [row.name for row in table.kv_caches])
    return table


@lru_cache(maxsize=1)
def load_recipes() -> MappingProxyType[str, Recipe]:
    """Return all recipes by name; raises SpecInvalid where the data file is wrong."""
    return MappingProxyType({row.name: row for row in _table().recipes})


@lru_cache(maxsize=1)
def load_kv_caches() -> MappingProxyType[str, KvCacheFormat]:
    """Return all KV cache formats by name; raises SpecInvalid where the data file is wrong."""
    return MappingProxyType({row.name: row for row in _table().kv_caches})


RecipeName = one_of("recipe", load_recipes)
KvCacheName = one_of("KV cache format", load_kv_caches)
