"""What pre-flight knows about a checkpoint: read once from its config.json and the sizes of its files.

Invariants:
- Nothing is guessed: a size that config.json does not give is a problem that names the keys.
- What a config.json may omit (key-value heads, the dimension of a head, tied embeddings) has the default that
  transformers gives it.
- Counts come from config.json; the safetensors files say whether they are right (`ModelFacts.surplus_bytes`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from engine_specs.preflight.weights import Experts, Weight, decoder_weights
from engine_specs.reading import Problem, StrictFrozen

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
OPTIONAL = ("num_key_value_heads", "head_dim", "moe_intermediate_size", "num_experts_per_tok")
# If config.json does not say, only these tie lm_head to the embedding (transformers 4.57.6 and 5.14.1).
TIED_BY_DEFAULT = ("GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM")
# How far files and count may differ before it is reported: norms and biases are a few in ten thousand.
TOLERATED_SHARE = 0.03


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
    dtype: DType = Field(description="Type of the stored weights, and of what is computed from them.")
    max_positions: int = Field(ge=1, description="Positions that the model was made for.")
    experts: Experts | None = Field(default=None, description="Its mixture of experts; null: a dense model.")
    checkpoint_bytes: int = Field(ge=0, description="Size of all safetensors files.")

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one weight as the checkpoint stores it."""
        return DTYPE_BYTES[self.dtype]

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The linear layers of one decoder layer."""
        return decoder_weights(
            hidden=self.hidden_size,
            inner=self.intermediate_size,
            attention=self.attention_heads * self.head_dim,
            key_value=self.key_value_heads * self.head_dim,
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
        tables = self.table_parameters * (1 if self.tied_embeddings else 2)
        return (self.linear_parameters + tables + self.norm_parameters) * self.dtype_bytes

    @property
    def surplus_bytes(self) -> int:
        """What the files hold beyond the count (negative: less); 0 within the tolerated share."""
        surplus = self.checkpoint_bytes - self.counted_bytes
        return surplus if abs(surplus) > TOLERATED_SHARE * self.counted_bytes else 0

    @property
    def counting_note(self) -> str:
        """How the count and the files compare, in one sentence."""
        surplus = self.checkpoint_bytes - self.counted_bytes
        share = surplus / self.counted_bytes
        compared = (
            f"config.json counts {self.counted_bytes:,} B of weights in {self.dtype}, the safetensors hold "
            f"{self.checkpoint_bytes:,} B ({share:+.2%})"
        )
        if not self.surplus_bytes:
            return compared
        return f"{compared}: they disagree, so this architecture has weights that are not counted here"


class UnknownFacts(StrictFrozen):
    """A config.json that lacks facts."""

    problems: tuple[Problem, ...] = Field(description="What is missing, one problem per fact.")


def read_model_facts(config: Config, file_bytes: Mapping[str, int]) -> ModelFacts | UnknownFacts:
    """Read a checkpoint's facts.

    Args:
        config: its config.json.
        file_bytes: size in bytes of each file of the checkpoint, by its path in the repository.
    """
    problems = tuple(_problems(config))
    if problems:
        return UnknownFacts(problems=problems)
    heads, hidden = _size(config, HEADS), _size(config, HIDDEN)
    return ModelFacts(
        architecture=_architecture(config),
        layers=_size(config, LAYERS),
        hidden_size=hidden,
        intermediate_size=config.get("moe_intermediate_size") or _size(config, INNER),
        attention_heads=heads,
        key_value_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        vocab_size=_size(config, VOCABULARY),
        tied_embeddings=bool(config.get("tie_word_embeddings", _architecture(config) in TIED_BY_DEFAULT)),
        dtype=_dtype(config),
        max_positions=_size(config, POSITIONS),
        experts=_experts(config),
        checkpoint_bytes=sum(size for name, size in file_bytes.items() if name.endswith(".safetensors")),
    )


def _problems(config: Config) -> Iterator[Problem]:
    for keys in SIZES:
        if not _is_size(_first(config, keys)):
            yield unknown(" or ".join(keys))
    for key in OPTIONAL:
        if config.get(key) is not None and not _is_size(config[key]):
            yield unknown(f"a usable {key}")
    if _first(config, EXPERTS) is not None and config.get("num_experts_per_tok") is None:
        yield unknown("num_experts_per_tok next to its number of experts")
    yield from _dtype_problems(config)


def _dtype_problems(config: Config) -> Iterator[Problem]:
    found = _first(config, TYPE)
    if found is None:
        yield unknown("dtype or torch_dtype")
    elif _dtype(config) not in DTYPE_BYTES:
        yield Problem(
            "checkpoint.repo", f"weights of type {found}", f"a checkpoint in {', '.join(DTYPE_BYTES)}"
        )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _architecture(config: Config) -> str:
    return str((config.get("architectures") or ["unknown"])[0])


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
    count = _first(config, EXPERTS)
    if count is None:
        return None
    return Experts(count=count, active=config["num_experts_per_tok"])
