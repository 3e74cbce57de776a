"""The linear layers of a decoder, as transformers names them: their dimensions and how they are spread.

Llama, Mistral, Mixtral, Qwen, Gemma and gpt-oss share one layout of attention, DeepSeek-V3 has another (MLA).
A layer has a dense feed-forward block, or experts with a router and maybe a shared expert. A model whose
files hold more than is counted here has other weights, and pre-flight says so.
"""

from fnmatch import fnmatchcase
from math import ceil
from typing import Literal

from pydantic import Field

from engine_specs.reading import StrictFrozen
from engine_specs.spec import ResolvedVariant


class Spread(StrictFrozen):
    """How one layer is spread over devices."""

    tensor: int = Field(ge=1, description="Devices that attention and dense blocks are divided between.")
    groups: int = Field(
        default=1, ge=1, description="Groups of devices that whole experts are divided between."
    )
    within: int = Field(ge=1, description="Devices of a group, which divide each of its experts.")
    shared: int = Field(ge=1, description="Devices that divide a shared expert.")


def spread_of(variant: ResolvedVariant) -> Spread:
    """Return how a variant spreads a layer.

    With whole experts and copies of attention on several devices each, these divide the tokens of a shared
    expert instead of its weights (vllm 0.32.0, config/parallel.py, use_sequence_parallel_moe).
    """
    tensor, groups = variant.tensor_parallel, variant.expert_parallel
    by_tokens = groups > 1 and tensor > 1 and variant.data_parallel > 1
    return Spread(
        tensor=tensor,
        groups=groups,
        within=max(1, variant.layer_devices // groups),
        shared=1 if by_tokens else tensor,
    )


class Experts(StrictFrozen):
    """A mixture of experts in place of the feed-forward block."""

    count: int = Field(ge=1, description="Experts of one layer.")
    active: int = Field(ge=1, description="Experts that one token passes through.")
    inner: int = Field(ge=1, description="Inner width of one expert.")
    shared: int = Field(
        default=0, ge=0, description="Inner width of what every token passes through besides; 0: nothing."
    )
    layers: tuple[int, ...] = Field(
        description="Layers that have experts, counted from 0; the others are dense."
    )


class LatentAttention(StrictFrozen):
    """Multi-head latent attention (MLA): keys and values are stored as one compressed vector per token."""

    query_rank: int | None = Field(description="Width that queries are compressed to; null: they are not.")
    rank: int = Field(ge=1, description="Width that keys and values are compressed to.")
    rope: int = Field(ge=1, description="Width of a head's part with rotary positions, which heads share.")
    plain: int = Field(ge=1, description="Width of a head's part without positions.")
    value: int = Field(ge=1, description="Width of a head's values.")

    @property
    def stored(self) -> int:
        """Numbers that the KV cache holds per token and layer, whatever the number of heads."""
        return self.rank + self.rope


class Weight(StrictFrozen):
    """The matrices of one name in one decoder layer."""

    module: str = Field(description="Name below the layer, such as self_attn.q_proj.")
    inputs: int = Field(ge=1, description="Input dimension of the whole matrix.")
    outputs: int = Field(ge=1, description="Output dimension of the whole matrix.")
    copies: int = Field(default=1, ge=1, description="Matrices of this name: one, or one per expert.")
    split: Literal["inputs", "outputs", "none"] = Field(
        description="The dimension that tensor parallelism divides; none: every device holds all of it."
    )
    least_outputs: int = Field(
        default=1, ge=1, description="Outputs that a device holds at least: a head repeats, it is not cut."
    )
    layers: Literal["all", "dense", "experts"] = Field(default="all", description="Which layers have it.")
    role: Literal["dense", "shared", "expert"] = Field(
        default="dense", description="What divides it: as attention, as a shared expert, or as experts."
    )

    @property
    def of_experts(self) -> bool:
        """Whether it is one matrix per expert."""
        return self.role == "expert"

    @property
    def parameters(self) -> int:
        """Weights of all matrices of this name in one layer."""
        return self.inputs * self.outputs * self.copies

    def parts(self, spread: Spread) -> int:
        """Return how many devices divide one matrix."""
        return {"dense": spread.tensor, "shared": spread.shared, "expert": spread.within}[self.role]

    def parameters_with(self, spread: Spread) -> int:
        """Return the weights of this name in one layer that the fullest device holds."""
        if self.split == "none":
            return self.parameters
        parts = self.parts(spread)
        copies = ceil(self.copies / spread.groups) if self.of_experts else self.copies
        if self.split == "outputs":
            return self.inputs * max(ceil(self.outputs / parts), self.least_outputs) * copies
        return ceil(self.inputs * self.outputs * copies / parts)

    def inputs_with(self, spread: Spread) -> float:
        """Return the input dimension on one device; fractional if it does not divide evenly."""
        return self.inputs / (self.parts(spread) if self.split == "inputs" else 1)

    def is_left_out(self, patterns: tuple[str, ...]) -> bool:
        """Whether this weight matches a recipe's patterns of modules that stay as they are.

        Routers always stay: ModelOpt's presets leave them out, whatever the recipe.
        """
        if self.split == "none":
            return True
        name = f"model.layers.0.{self.module}"
        return any(fnmatchcase(name, pattern) or fnmatchcase(self.module, pattern) for pattern in patterns)


def attention_weights(*, hidden: int, heads: int, key_value_heads: int, head: int) -> tuple[Weight, ...]:
    """Return the projections of grouped-query attention.

    Args:
        hidden: width of the residual stream.
        heads: heads of the queries.
        key_value_heads: heads of the keys, and of the values.
        head: width of one head, which a device holds whole.
    """
    key_value = key_value_heads * head
    return (
        Weight(module="self_attn.q_proj", inputs=hidden, outputs=heads * head, split="outputs"),
        Weight(
            module="self_attn.k_proj", inputs=hidden, outputs=key_value, split="outputs", least_outputs=head
        ),
        Weight(
            module="self_attn.v_proj", inputs=hidden, outputs=key_value, split="outputs", least_outputs=head
        ),
        Weight(module="self_attn.o_proj", inputs=heads * head, outputs=hidden, split="inputs"),
    )


def latent_weights(hidden: int, heads: int, latent: LatentAttention) -> tuple[Weight, ...]:
    """Return the projections of MLA. No device divides those that compress.

    vllm 0.32.0, model_executor/models/deepseek_v2.py: they are ReplicatedLinear or have disable_tp.
    """
    query = heads * (latent.plain + latent.rope)
    asking = (
        (Weight(module="self_attn.q_proj", inputs=hidden, outputs=query, split="outputs"),)
        if latent.query_rank is None
        else (
            Weight(module="self_attn.q_a_proj", inputs=hidden, outputs=latent.query_rank, split="none"),
            Weight(module="self_attn.q_b_proj", inputs=latent.query_rank, outputs=query, split="outputs"),
        )
    )
    key_value = heads * (latent.plain + latent.value)
    return (
        *asking,
        Weight(module="self_attn.kv_a_proj_with_mqa", inputs=hidden, outputs=latent.stored, split="none"),
        Weight(module="self_attn.kv_b_proj", inputs=latent.rank, outputs=key_value, split="outputs"),
        Weight(module="self_attn.o_proj", inputs=heads * latent.value, outputs=hidden, split="inputs"),
    )


def feed_forward_weights(hidden: int, inner: int, experts: Experts | None) -> tuple[Weight, ...]:
    """Return the dense blocks, and the experts with what stands next to them.

    Args:
        hidden: width of the residual stream.
        inner: inner width of a dense block.
        experts: the mixture of experts, if there is one.
    """
    if experts is None:
        return _blocks("mlp", hidden, inner)
    shared = _blocks("mlp.shared_experts", hidden, experts.shared, "shared") if experts.shared else ()
    return (
        *(one.model_copy(update={"layers": "dense"}) for one in _blocks("mlp", hidden, inner)),
        *_blocks("mlp.experts.0", hidden, experts.inner, "expert", experts.count),
        *shared,
        Weight(module="mlp.gate", inputs=hidden, outputs=experts.count, split="none", layers="experts"),
    )


def _blocks(
    prefix: str,
    hidden: int,
    inner: int,
    role: Literal["dense", "shared", "expert"] = "dense",
    copies: int = 1,
) -> tuple[Weight, ...]:
    layers: Literal["all", "experts"] = "all" if role == "dense" else "experts"
    into, out = {"inputs": hidden, "outputs": inner}, {"inputs": inner, "outputs": hidden}
    return (
        Weight(
            module=f"{prefix}.gate_proj", split="outputs", copies=copies, role=role, layers=layers, **into
        ),
        Weight(module=f"{prefix}.up_proj", split="outputs", copies=copies, role=role, layers=layers, **into),
        Weight(module=f"{prefix}.down_proj", split="inputs", copies=copies, role=role, layers=layers, **out),
    )
