"""What pre-flight knows about a checkpoint: read once from its config.json and the sizes of its files.

Invariants:
- Nothing is guessed: a size that config.json does not give is a problem that names the keys.
- What a config.json may omit (key-value heads, the dimension of a head, tied embeddings) has the default that
  transformers gives it, per model type.
- Counts come from config.json; the safetensors files say whether they are right (`ModelFacts.surplus_bytes`).
- What is stored and what is computed from it are two things: files may hold a wider type than config.json
  names, or an lm_head that is the embedding again, and a kind may compute in a narrower one (`computed_by`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from engine_specs.preflight.decoder import (
    Config,
    Experts,
    LatentAttention,
    Weight,
    attention_weights,
    decoder_config,
    expert_problems,
    feed_forward_weights,
    first,
    full_layers,
    is_dense,
    is_size,
    latent_problems,
    latent_weights,
    most_in_stage,
    read_experts,
    read_latent,
    rope_scaling,
    rope_type,
    rotary_problems,
    sliding_window,
    unknown,
    vision_parameters,
    vision_problems,
    window_problems,
)
from engine_specs.reading import Problem, StrictFrozen
from engine_specs.tables import Accelerator, KindFacts, defaults_of, with_defaults

DType = Literal["float32", "float16", "bfloat16"]

DTYPE_BYTES: dict[DType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
# Keys of config.json for one fact; the first one present counts. `dtype` is what transformers 5 writes.
LAYERS = ("num_hidden_layers",)
HIDDEN = ("hidden_size",)
INNER = ("intermediate_size",)
# Width of a dense block, if intermediate_size is that of an expert (Llama 4).
DENSE = ("intermediate_size_mlp", *INNER)
HEADS = ("num_attention_heads",)
VOCABULARY = ("vocab_size",)
POSITIONS = ("max_position_embeddings",)
TYPE = ("dtype", "torch_dtype")
SIZES = (LAYERS, HIDDEN, INNER, HEADS, VOCABULARY, POSITIONS)
OF_EXPERTS = ("moe_intermediate_size", "num_experts_per_tok")
OPTIONAL = ("num_key_value_heads", "head_dim", "intermediate_size_mlp", *OF_EXPERTS)
# Rotary scalings that multiply the positions: the others' max_position_embeddings is scaled already, as is
# that of these models with any scaling (vllm 0.32.0, config/model.py).
MULTIPLYING = ("linear", "dynamic")
SCALED_ALREADY = "gemma3"
# Other names of the positions: vLLM takes the smallest of all that config.json has, but the deciding one if
# it is there (vllm 0.32.0, transformers_utils/model_arch_config_convertor.py).
OTHER_POSITIONS = (
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
DECIDING_POSITIONS = "model_max_length"
STORED_WIDTHS = (2, 4)
# How far files and count may differ before it is reported: norms and biases are a few in ten thousand.
TOLERATED_SHARE = 0.03


class StoredWeights(StrictFrozen):
    """What the files of a ready-made quantized checkpoint hold."""

    bytes: int = Field(ge=0, description="Size of all its safetensors files.")
    kv_cache: str = Field(description="Format of its keys and values, by its name in data/recipes.yaml.")
    padded: bool = Field(
        default=False, description="Whether kernels lay its experts out in larger blocks (MXFP4)."
    )


class ModelFacts(StrictFrozen):
    """A decoder's dimensions, and the size of its files."""

    architecture: str = Field(description="Class in `architectures` of config.json.")
    layers: int = Field(ge=1, description="Decoder layers.")
    hidden_size: int = Field(ge=1, description="Width of the residual stream.")
    intermediate_size: int = Field(ge=1, description="Inner width of a dense feed-forward block.")
    attention_heads: int = Field(ge=1, description="Heads of the queries.")
    key_value_heads: int = Field(ge=1, description="Heads of keys and values.")
    head_dim: int = Field(ge=1, description="Width of one head.")
    vocab_size: int = Field(ge=1, description="Rows of the embedding table.")
    tied_embeddings: bool = Field(description="Whether lm_head is the embedding table.")
    dtype: DType = Field(description="Type that the model is computed in.")
    named_dtype: DType = Field(description="Type of the stored weights that config.json names.")
    max_positions: int = Field(ge=1, description="Positions that the model was made for.")
    experts: Experts | None = Field(default=None, description="Its mixture of experts; null: a dense model.")
    latent: LatentAttention | None = Field(
        default=None, description="Its latent attention (MLA); null: keys and values of every head."
    )
    window: int | None = Field(
        default=None, description="Tokens that layers with a window look back to; null: no layer has one."
    )
    full_layers: tuple[int, ...] = Field(
        default=(), description="Layers that attend to the whole sequence, counted from 0."
    )
    vision_parameters: int = Field(default=0, ge=0, description="Weights of what reads images.")
    checkpoint_bytes: int = Field(ge=0, description="Size of all safetensors files.")
    ready_made: StoredWeights | None = Field(
        default=None, description="The ready-made quantized checkpoint that is served; null: none is known."
    )
    draft: "ModelFacts | None" = Field(
        default=None, description="What drafts tokens for it; null: nothing that takes memory."
    )

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one weight, key or value that is not quantized, while it is computed with."""
        return DTYPE_BYTES[self.dtype]

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The linear layers of a decoder layer; not every layer has those of experts, or dense blocks."""
        attention = (
            attention_weights(
                hidden=self.hidden_size,
                heads=self.attention_heads,
                key_value_heads=self.key_value_heads,
                head=self.head_dim,
            )
            if self.latent is None
            else latent_weights(self.hidden_size, self.attention_heads, self.latent)
        )
        blocks = feed_forward_weights(self.hidden_size, self.intermediate_size, self.experts)
        return (*attention, *(one for one in blocks if self.layers_with(one, self.layers)))

    def layers_with(self, weight: Weight, stage: int) -> int:
        """Return how many layers of the fullest stage of a pipeline have a weight.

        Args:
            weight: one of the model's.
            stage: layers of the longest stage; all layers: the whole model.
        """
        if weight.layers == "all" or self.experts is None:
            return stage
        with_experts = most_in_stage(self.experts.layers, self.layers, stage)
        return with_experts if weight.layers == "experts" else stage - with_experts

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers of all decoder layers; lm_head is not among them."""
        return sum(self.layers_with(one, self.layers) * one.parameters for one in self.weights)

    @property
    def table_parameters(self) -> int:
        """Weights of the embedding table, and of an lm_head of the same shape."""
        return self.vocab_size * self.hidden_size

    @property
    def norm_parameters(self) -> int:
        """Weights of two norms per layer and the last one; what some models have beyond these is small."""
        return (2 * self.layers + 1) * self.hidden_size

    @property
    def counted_bytes(self) -> int:
        """Size of the weights according to config.json, as the checkpoint stores them."""
        return self._layout[1]

    @property
    def surplus_bytes(self) -> int:
        """What the files hold beyond the count (negative: less); 0 within the tolerated share."""
        counted = self.counted_bytes
        return 0 if self._agrees(counted) else self.checkpoint_bytes - counted

    @property
    def counting_note(self) -> str:
        """How the count and the files compare, in one sentence."""
        how, counted = self._layout
        share = (self.checkpoint_bytes - counted) / counted
        compared = (
            f"config.json counts {counted:,} B of weights in {how}, the safetensors hold "
            f"{self.checkpoint_bytes:,} B ({share:+.2%})"
        )
        if not self.surplus_bytes:
            return compared
        return f"{compared}: they disagree, so this architecture has weights that are not counted here"

    def computed_by(self, kind: KindFacts, accelerator: Accelerator) -> "ModelFacts":
        """Return the model as an engine of a kind computes it: few compute in float32."""
        dtype = kind.float32_as.get(accelerator, self.dtype) if self.dtype == "float32" else self.dtype
        return self.model_copy(update={"dtype": dtype})

    @property
    def _layout(self) -> tuple[str, int]:
        """How the files store the weights: as config.json says, unless another way explains their size."""
        layouts = list(self._layouts())
        return next((one for one in layouts if self._agrees(one[1])), layouts[0])

    def _layouts(self) -> Iterator[tuple[str, int]]:
        """Ways to store the weights, with their sizes: first as config.json says.

        One byte per weight is never among them: such weights are quantized.
        """
        own = DTYPE_BYTES[self.named_dtype]
        others = [width for width in STORED_WIDTHS if width != own]
        for width in (own, *others):
            named = self.named_dtype if width == own else f"a type of {width} bytes, not {self.named_dtype}"
            for tables in (1, 2) if self.tied_embeddings else (2,):
                extra = ", with lm_head next to its tied table" if self.tied_embeddings and tables > 1 else ""
                weights = self.linear_parameters + tables * self.table_parameters + self.norm_parameters
                weights += self.vision_parameters
                yield named + extra, weights * width

    def _agrees(self, counted: int) -> bool:
        return abs(self.checkpoint_bytes - counted) <= TOLERATED_SHARE * counted


class UnknownFacts(StrictFrozen):
    """A config.json that lacks facts."""

    problems: tuple[Problem, ...] = Field(description="What is missing, one problem per fact.")


def read_model_facts(config: Config, file_bytes: Mapping[str, int]) -> ModelFacts | UnknownFacts:
    """Read a checkpoint's facts.

    Args:
        config: its config.json.
        file_bytes: size in bytes of each file of the checkpoint, by its path in the repository.
    """
    filled = with_defaults(decoder_config(config))
    problems = tuple(_problems(filled))
    if problems:
        return UnknownFacts(problems=problems)
    heads, hidden, named = _size(filled, HEADS), _size(filled, HIDDEN), _dtype(filled)
    layers, latent = _size(filled, LAYERS), read_latent(filled)
    return ModelFacts(
        architecture=_architecture(filled),
        layers=layers,
        hidden_size=hidden,
        intermediate_size=_size(filled, DENSE),
        attention_heads=heads,
        key_value_heads=filled.get("num_key_value_heads") or heads,
        head_dim=latent.plain + latent.rope if latent else filled.get("head_dim") or hidden // heads,
        vocab_size=_size(filled, VOCABULARY),
        tied_embeddings=bool(filled.get("tie_word_embeddings", False)),
        dtype=named,
        named_dtype=named,
        max_positions=_positions(filled),
        experts=read_experts(filled, layers),
        latent=latent,
        window=sliding_window(filled),
        full_layers=full_layers(filled),
        vision_parameters=vision_parameters(filled, hidden),
        checkpoint_bytes=sum(size for name, size in file_bytes.items() if name.endswith(".safetensors")),
    )


def architectures(config: Config) -> tuple[str, ...]:
    """Return the names in `architectures`; none if that is not a list of names."""
    named = config.get("architectures")
    listed = isinstance(named, list | tuple) and all(isinstance(one, str) for one in named)
    return tuple(named) if listed and named else ()


def _problems(config: Config) -> Iterator[Problem]:
    for keys in SIZES:
        if not is_size(found := first(config, keys)):
            yield unknown(" or ".join(keys) if found is None else f"a usable {keys[0]} ({found!r})")
    for key in OPTIONAL:
        unused = key in OF_EXPERTS and is_dense(config)
        if config.get(key) is not None and not is_size(config[key]) and not unused:
            yield unknown(f"a usable {key} ({config[key]!r})")
    if not isinstance(config.get("tie_word_embeddings", False), bool | None):
        yield unknown(f"a usable tie_word_embeddings ({config['tie_word_embeddings']!r})")
    yield from _null_problems(config)
    yield from _head_problems(config)
    yield from expert_problems(config)
    yield from latent_problems(config)
    yield from vision_problems(config)
    yield from rotary_problems(config)
    yield from window_problems(config)
    yield from _dtype_problems(config)


def _null_problems(config: Config) -> Iterator[Problem]:
    """Yield keys that are null although their model type has a default, which transformers 5 refuses."""
    row = defaults_of(config)
    for key in ("num_key_value_heads", "head_dim"):
        default = getattr(row, key, None)
        if row and default and key not in row.nullable and key in config and config[key] is None:
            yield Problem(
                "checkpoint.repo",
                f"{key} null in config.json",
                f"a checkpoint that gives it, or leaves it out for {row.model_type}'s default of {default}",
            )


def _head_problems(config: Config) -> Iterator[Problem]:
    """Yield heads that do not divide: config.json gives the width of a head only if it is unusual."""
    heads, hidden, head = first(config, HEADS), first(config, HIDDEN), config.get("head_dim")
    if not is_size(heads) or not is_size(hidden):
        return
    row = defaults_of(config)
    if hidden % heads and (not head or (row is not None and row.heads_divide_width)):
        yield Problem(
            "checkpoint.repo",
            f"{heads} attention heads (num_attention_heads) on a width of {hidden} (hidden_size)",
            "a checkpoint whose config.json has as many heads as divide its width",
        )
    elif (head if is_size(head) else hidden // heads) % 2:
        yield Problem(
            "checkpoint.repo",
            f"heads of {head or hidden // heads} elements (head_dim)",
            "a checkpoint with heads of an even width: rotary positions turn pairs of elements",
        )
    groups = config.get("num_key_value_heads")
    if is_size(groups) and heads % groups:
        yield Problem(
            "checkpoint.repo",
            f"{heads} attention heads (num_attention_heads) over {groups} of keys and values "
            "(num_key_value_heads)",
            "a checkpoint whose attention heads share those of keys and values evenly",
        )


def _dtype_problems(config: Config) -> Iterator[Problem]:
    found = first(config, TYPE)
    if found is None:
        yield unknown("dtype or torch_dtype")
    elif _dtype(config) not in DTYPE_BYTES:
        yield Problem(
            "checkpoint.repo", f"weights of type {found}", f"a checkpoint in {', '.join(DTYPE_BYTES)}"
        )


def _positions(config: Config) -> int:
    """Positions as vLLM counts them (see `positions`): some scalings multiply what config.json names."""
    named = [config[key] for key in (*POSITIONS, *OTHER_POSITIONS) if is_size(config.get(key))]
    deciding = config.get(DECIDING_POSITIONS)
    positions = deciding if is_size(deciding) else min(named)
    multiplied = rope_type(config) in MULTIPLYING and SCALED_ALREADY not in str(config.get("model_type"))
    factor = rope_scaling(config).get("factor") if multiplied else None
    usable = isinstance(factor, int | float) and 0 < factor < math.inf
    return max(1, int(positions * (factor if usable and factor else 1)))


def _architecture(config: Config) -> str:
    return next(iter(architectures(config)), "unknown")


def _size(config: Config, keys: tuple[str, ...]) -> int:
    return int(first(config, keys))


def _dtype(config: Config) -> Any:
    return str(first(config, TYPE)).removeprefix("torch.")
