"""Variants: each is one engine to build. What they share is written once, in the spec's `defaults`.

A variant as written is partial (`VariantOverrides`); merged over the defaults (`VariantDefaults`) it must be
whole (`VariantSettings`). Only the merged one is checked, so that an override may complete a default.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from engine_specs.reading import (
    SHA256_PATTERN,
    RecipePath,
    Repo,
    Revision,
    Slug,
    StrictFrozen,
    partial_of,
)
from engine_specs.spec.rules import READY_MADE
from engine_specs.spec.speculative import Speculative
from engine_specs.spec.text_source import TextSource
from engine_specs.tables import Device, KindName, KvCacheName, OptionValue, RecipeName, TargetName


class Engine(StrictFrozen):
    """What is compiled."""

    kind: KindName = Field(description="Engine kind, such as aot-inductor.")
    options: dict[str, OptionValue | None] = Field(
        default_factory=dict,
        description="Settings of the kind's tool, by the names that the kind declares.",
    )
    llm_args: dict[str, Any] = Field(
        default_factory=dict,
        exclude_if=lambda passed: not passed,
        description="Further arguments of TensorRT-LLM's LLM class, spelled as its release spells them.",
    )
    unchecked: bool = Field(
        default=False,
        exclude_if=lambda unchecked: not unchecked,
        description="Whether llm_args may have names that the table of that release does not have.",
    )


class Calibration(TextSource):
    """Texts that run through the model to find its scales."""

    sequence_length: int = Field(ge=1, le=1_000_000, description="Tokens of each text that are used.")


class RecipeFile(StrictFrozen):
    """A recipe file of ModelOpt that comes with the spec."""

    path: RecipePath = Field(description="Path of the YAML file, relative to the spec.")
    sha256: str = Field(pattern=SHA256_PATTERN, description="Digest of that file, which pins it.")


class RecipeSearch(StrictFrozen):
    """AutoQuantize: each layer's recipe is chosen by what it costs in accuracy."""

    effective_bits: float = Field(gt=0, le=16, description="Mean bits per weight that the result may have.")
    candidates: Annotated[tuple[RecipeName, ...], Field(strict=False, min_length=1, max_length=8)] = Field(
        description="Recipes to choose from; a layer may also stay as it is."
    )
    method: Literal["gradient", "kl_div"] = Field(
        default="gradient", description="How the cost of a choice is estimated."
    )
    score_samples: int = Field(
        default=128,
        ge=1,
        le=100_000,
        description="Most calibration texts to score.",
    )


class QuantizedSource(StrictFrozen):
    """A quantized checkpoint on the Hub, pinned."""

    repo: Repo = Field(description="Model repository on the Hub, such as owner/name.")
    revision: Revision = Field(description="Commit: 40 hexadecimal digits.")


class Quantization(StrictFrozen):
    """How weights and the KV cache are quantized."""

    recipe: RecipeName = Field(
        default=READY_MADE,
        description="Recipe for the weights; none leaves them as they are. A source implies ready_made.",
    )
    kv_cache: KvCacheName = Field(default="none", description="Format of stored keys and values.")
    calibration: Calibration | None = Field(
        default=None, description="Texts to calibrate on, for recipes that need it."
    )
    device: Device | None = Field(
        default=None, description="Device that ModelOpt runs on; null: the target's accelerator."
    )
    file: RecipeFile | None = Field(default=None, description="The recipe file, for recipe modelopt_file.")
    search: RecipeSearch | None = Field(default=None, description="What to search, for recipe auto.")
    source: QuantizedSource | None = Field(
        default=None,
        exclude_if=lambda source: source is None,
        description="A checkpoint that others quantized, which is used as it is: recipe ready_made.",
    )


class Shape(StrictFrozen):
    """Limits that the engine is compiled for; requests beyond them are refused.

    With data_parallel, every copy of attention has these limits.
    """

    max_batch_size: int = Field(ge=1, le=65_536, description="Most sequences that generate at the same time.")
    max_input_len: int = Field(ge=1, le=10_000_000, description="Longest prompt, in tokens.")
    max_seq_len: int = Field(
        ge=2, le=10_000_000, description="Longest prompt and output together, in tokens."
    )
    max_num_tokens: int = Field(
        ge=1, le=10_000_000, description="Most tokens of all sequences in one iteration."
    )


class VariantBase(StrictFrozen):
    """What the defaults may set for all variants."""

    required: bool = Field(default=True, description="Whether a release must wait for this variant.")
    tensor_parallel: int = Field(default=1, ge=1, le=64, description="Devices that each layer spreads over.")
    pipeline_parallel: int = Field(
        default=1, ge=1, le=64, description="Devices that the layers are divided between."
    )
    expert_parallel: int = Field(
        default=1,
        ge=1,
        le=64,
        exclude_if=lambda groups: groups == 1,
        description="Groups of a layer's devices that its experts are divided between, each expert whole in "
        "one of them; within a group, devices divide every expert. Mixtures of experts only.",
    )
    data_parallel: int = Field(
        default=1,
        ge=1,
        le=64,
        exclude_if=lambda copies: copies == 1,
        description="Copies of attention and dense blocks, each with sequences and limits of its own; the "
        "experts are divided between the devices of all copies. Mixtures of experts only.",
    )
    engine: Engine = Field(description="What is compiled.")
    quantization: Quantization = Field(description="How weights and the KV cache are quantized.")
    speculative: Speculative | None = Field(
        default=None,
        exclude_if=lambda speculative: speculative is None,
        description="How tokens are drafted that the model then checks; null: it generates one at a time.",
    )
    shape: Shape = Field(description="Limits that the engine is compiled for.")


class VariantName(StrictFrozen):
    """What every variant must set itself."""

    name: Slug = Field(description="Name of the variant, unique in the spec.")
    target: TargetName = Field(
        description="What the engine is built for, by its name in the table of targets."
    )


class VariantSettings(VariantBase, VariantName):
    """A variant merged over the defaults, still naming its target."""


if TYPE_CHECKING:  # at run time all their settings may be None: read them through `resolve.resolve_variants`
    VariantDefaults = VariantBase
    VariantOverrides = VariantSettings
else:
    VariantDefaults = partial_of(VariantBase, "VariantDefaults")
    VariantOverrides = partial_of(VariantBase, "VariantOverrides", base=VariantName)
