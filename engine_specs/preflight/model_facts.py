"""What pre-flight knows about a checkpoint: read once from its config.json and the sizes of its files.

Invariants:
- Nothing is guessed: a size that config.json does not give is a problem that names the keys.
- What a config.json may omit (key-value heads, the dimension of a head, tied embeddings) has the default that
  transformers gives it, per model type.
- Counts come from config.json; the safetensors files say whether they are right (`ModelFacts.surplus_bytes`).
- What is stored and what is computed from it are two things: files may hold a wider type than config.json
  names, or an lm_head that is the embedding again, and a kind may compute in a narrower one (`computed_by`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from engine_specs.preflight.weights import Experts, Weight, decoder_weights
from engine_specs.reading import Problem, StrictFrozen
from engine_specs.tables import Accelerator, KindFacts, with_defaults

Config = Mapping[str, Any]
DType = Literal["float32", "float16", "bfloat16"]

DTYPE_BYTES: dict[DType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
# Keys of config.json for one fact; the first one present counts. `dtype` is what transformers 5 writes.
LAYERS = ("num_hidden_layers",)
HIDDEN = ("hidden_size",)
INNER = ("intermediate_size",)
HEADS = ("num_attention_heads",)
VOCABULARY = ("vocab_size",)
POSITIONS = ("max_position_embeddings",)
TYPE = ("dtype", "torch_dtype")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
SIZES = (LAYERS, HIDDEN, INNER, HEADS, VOCABULARY, POSITIONS)
OF_EXPERTS = ("moe_intermediate_size", "num_experts_per_tok")
OPTIONAL = ("num_key_value_heads", "head_dim", *OF_EXPERTS)
COUNTS_OF_EXPERTS = "num_local_experts, num_experts or n_routed_experts"
# Rotary scalings that multiply the positions: the others' max_position_embeddings is scaled already.
MULTIPLYING = ("linear", "dynamic")
STORED_WIDTHS = (2, 4)
# How far files and count may differ before it is reported: norms and biases are a few in ten thousand.
TOLERATED_SHARE = 0.03


class StoredWeights(StrictFrozen):
    """What the files of a ready-made quantized checkpoint hold."""

    bytes: int = Field(ge=0, description="Size of all its safetensors files.")
    kv_cache: str = Field(description="Format of its keys and values, by its name in data/recipes.yaml.")


class ModelFacts(StrictFrozen):
    """A decoder's dimensions, and the size of its files."""

    architecture: str = Field(description="Class in `architectures` of config.json.")
    layers: int = Field(ge=1, description="Decoder layers.")
    hidden_size: int = Field(ge=1, description="Width of the residual stream.")
    intermediate_size: int = Field(ge=1, description="Inner width of a feed-forward block or expert.")
    attention_heads: int = Field(ge=1, description="Heads of the queries.")
    key_value_heads: int = Field(ge=1, description="Heads of keys and values.")
    head_dim: int = Field(ge=1, description="Width of one head.")
    vocab_size: int = Field(ge=1, description="Rows of the embedding table.")
    tied_embeddings: bool = Field(description="Whether lm_head is the embedding table.")
    dtype: DType = Field(description="Type that the model is computed in.")
    named_dtype: DType = Field(description="Type of the stored weights that config.json names.")
    max_positions: int = Field(ge=1, description="Positions that the model was made for.")
    experts: Experts | None = Field(default=None, description="Its mixture of experts; null: a dense model.")
    checkpoint_bytes: int = Field(ge=0, description="Size of all safetensors files.")
    ready_made: StoredWeights | None = Field(
        default=None, description="The ready-made quantized checkpoint that is served; null: none is known."
    )

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one weight, key or value that is not quantized, while it is computed with."""
        return DTYPE_BYTES[self.dtype]

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The linear layers of one decoder layer."""
        return decoder_weights(
            hidden=self.hidden_size,
            inner=self.intermediate_size,
            attention=self.attention_heads * self.head_dim,
            key_value=self.key_value_heads * self.head_dim,
            head=self.head_dim,
            experts=self.experts,
        )

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers of all decoder layers; lm_head is not among them."""
        return self.layers * sum(weight.parameters for weight in self.weights)

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
    filled = with_defaults(config)
    problems = tuple(_problems(filled))
    if problems:
        return UnknownFacts(problems=problems)
    heads, hidden, named = _size(filled, HEADS), _size(filled, HIDDEN), _dtype(filled)
    return ModelFacts(
        architecture=_architecture(filled),
        layers=_size(filled, LAYERS),
        hidden_size=hidden,
        intermediate_size=_inner(filled),
        attention_heads=heads,
        key_value_heads=filled.get("num_key_value_heads") or heads,
        head_dim=filled.get("head_dim") or hidden // heads,
        vocab_size=_size(filled, VOCABULARY),
        tied_embeddings=bool(filled.get("tie_word_embeddings", False)),
        dtype=named,
        named_dtype=named,
        max_positions=_positions(filled),
        experts=_experts(filled),
        checkpoint_bytes=sum(size for name, size in file_bytes.items() if name.endswith(".safetensors")),
    )


def rope_scaling(config: Config) -> Mapping[str, Any]:
    """Return how rotary positions are scaled, in either spelling; empty if they are not."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling")
    return scaling if isinstance(scaling, Mapping) else {}


def rope_type(config: Config) -> str:
    """Return the name of that scaling; `default` if there is none."""
    scaling = rope_scaling(config)
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def architectures(config: Config) -> tuple[str, ...]:
    """Return the names in `architectures`; none if that is not a list of names."""
    named = config.get("architectures")
    listed = isinstance(named, list | tuple) and all(isinstance(one, str) for one in named)
    return tuple(named) if listed and named else ()


def _problems(config: Config) -> Iterator[Problem]:
    for keys in SIZES:
        if not _is_size(_first(config, keys)):
            yield unknown(" or ".join(keys))
    for key in OPTIONAL:
        unused = key in OF_EXPERTS and _is_dense(config)
        if config.get(key) is not None and not _is_size(config[key]) and not unused:
            yield unknown(f"a usable {key}")
    yield from _head_problems(config)
    yield from _expert_problems(config)
    yield from _dtype_problems(config)


def _head_problems(config: Config) -> Iterator[Problem]:
    """Yield heads that would have no width: config.json gives the width of a head only if it is unusual."""
    heads, hidden = _first(config, HEADS), _first(config, HIDDEN)
    if _is_size(heads) and _is_size(hidden) and not config.get("head_dim") and heads > hidden:
        yield Problem(
            "checkpoint.repo",
            f"{heads} attention heads (num_attention_heads) on a width of {hidden} (hidden_size)",
            "a checkpoint whose config.json has at most as many heads as its width, or head_dim",
        )


def _expert_problems(config: Config) -> Iterator[Problem]:
    if _is_dense(config):
        return
    count, active = _first(config, EXPERTS), config.get("num_experts_per_tok")
    if not _is_size(count):
        yield unknown(f"a usable {COUNTS_OF_EXPERTS}")
    elif active is None:
        yield unknown("num_experts_per_tok next to its number of experts")
    elif _is_size(active) and active > count:
        yield Problem(
            "checkpoint.repo",
            f"{active} experts per token (num_experts_per_tok) of {count}",
            "a checkpoint with at least as many experts as each token passes through",
        )


def _dtype_problems(config: Config) -> Iterator[Problem]:
    found = _first(config, TYPE)
    if found is None:
        yield unknown("dtype or torch_dtype")
    elif _dtype(config) not in DTYPE_BYTES:
        yield Problem(
            "checkpoint.repo", f"weights of type {found}", f"a checkpoint in {', '.join(DTYPE_BYTES)}"
        )


def _positions(config: Config) -> int:
    """Positions as vLLM counts them (see `positions`): some scalings multiply what config.json names."""
    factor = rope_scaling(config).get("factor") if rope_type(config) in MULTIPLYING else None
    usable = isinstance(factor, int | float) and factor > 0
    return int(_size(config, POSITIONS) * (factor if usable and factor else 1))


def _inner(config: Config) -> int:
    narrow = None if _is_dense(config) else config.get("moe_intermediate_size")
    return narrow or _size(config, INNER)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_dense(config: Config) -> bool:
    """Whether a layer has no experts: no count of them, or an explicit 0."""
    count = _first(config, EXPERTS)
    return count is None or (count == 0 and not isinstance(count, bool))


def _architecture(config: Config) -> str:
    return next(iter(architectures(config)), "unknown")


def unknown(keys: str) -> Problem:
    """Make the problem of a config.json that lacks a key."""
    return Problem(
        "checkpoint.repo", f"a config.json without {keys}", "a checkpoint whose config.json gives them"
    )


def _first(config: Config, keys: tuple[str, ...]) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _size(config: Config, keys: tuple[str, ...]) -> int:
    return int(_first(config, keys))


def _dtype(config: Config) -> Any:
    return str(_first(config, TYPE)).removeprefix("torch.")


def _experts(config: Config) -> Experts | None:
    if _is_dense(config):
        return None
    return Experts(count=_first(config, EXPERTS), active=config["num_experts_per_tok"])
