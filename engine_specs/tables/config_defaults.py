"""What transformers takes absent keys of config.json for, by `model_type`: it does not write defaults.

A key that is null is not absent: for key-value heads and the width of a head, null asks for what follows from
the other sizes, if the model type has no default of its own or names the key as nullable; otherwise it is an
error of transformers 5.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from engine_specs.reading import CONFIG_DEFAULTS_FILE, StrictFrozen, read_data, refuse_duplicates

Size = Annotated[int, Field(ge=1)]
Windows = Literal["never", "if-asked", "every-layer"]
# Columns of a row that are no keys of config.json.
NOT_KEYS = {
    *("model_type", "architecture", "nullable", "heads_divide_width"),
    *("windows", "full_attention_every", "sizes", "source"),
}


class ConfigDefaults(StrictFrozen):
    """One row of `data/config_defaults.yaml`: the defaults of a model's configuration class."""

    model_type: str = Field(min_length=1, description="`model_type` of config.json.")
    architecture: str = Field(min_length=1, description="Its class for text generation.")
    max_position_embeddings: Size = Field(description="Positions that it was made for.")
    num_key_value_heads: Size | None = Field(
        default=None, description="Heads of keys and values; null: as many as queries have."
    )
    head_dim: Size | None = Field(
        default=None, description="Width of a head; null: width of the model / heads."
    )
    heads_divide_width: bool = Field(
        default=False, description="Whether heads have to divide the width even if head_dim is given."
    )
    nullable: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Keys with a default that may be null, which then means what null means here."
    )
    tie_word_embeddings: bool = Field(default=False, description="Whether lm_head is the embedding table.")
    num_experts: Size | None = Field(default=None, description="Experts of a layer; null: a dense model.")
    num_experts_per_tok: Size | None = Field(default=None, description="Experts per token.")
    sizes: dict[str, int] = Field(
        default={}, description="Further keys with their defaults: of experts, and of latent attention."
    )
    sliding_window: Size | None = Field(
        default=None, description="Tokens that a windowed layer looks back to; null: all."
    )
    max_window_layers: Size | None = Field(
        default=None, description="With `if-asked`: the first layers, which have no window."
    )
    full_attention_every: Size | None = Field(
        default=None, description="Every such layer has no window, if layer_types does not say; null: none."
    )
    windows: Windows = Field(
        description="Layers with a window, if there is a size: none, those beyond max_window_layers if "
        "use_sliding_window is true, or (at least) every second one."
    )
    source: str = Field(min_length=10, description="Where the defaults are written.")


class ConfigDefaultsFile(StrictFrozen):
    """The content of `data/config_defaults.yaml`."""

    model_types: Annotated[tuple[ConfigDefaults, ...], Field(strict=False, min_length=1)] = Field(
        description="One row per model type."
    )


@lru_cache(maxsize=1)
def load_config_defaults() -> Mapping[str, ConfigDefaults]:
    """Return the rows by model type; raises SpecInvalid if the data file is invalid."""
    rows = read_data(CONFIG_DEFAULTS_FILE, ConfigDefaultsFile).model_types
    refuse_duplicates(CONFIG_DEFAULTS_FILE, "model_type", [row.model_type for row in rows])
    return MappingProxyType({row.model_type: row for row in rows})


def defaults_of(config: Mapping[str, Any]) -> ConfigDefaults | None:
    """Return the row of a config.json, by its model type, or otherwise by its only architecture."""
    rows = load_config_defaults()
    if named := config.get("model_type"):
        return rows.get(str(named))
    architectures = config.get("architectures")
    return next((row for row in rows.values() if architectures == [row.architecture]), None)


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config.json in which keys that are absent have the default of its model type.

    Keys of a model type that no row knows stay absent.
    """
    row = defaults_of(config)
    if row is None:
        return dict(config)
    keys = {**row.model_dump(exclude=NOT_KEYS, exclude_none=True), **row.sizes}
    if "num_local_experts" in config or "n_routed_experts" in config:
        keys.pop("num_experts", None)
    return {**keys, **config}
