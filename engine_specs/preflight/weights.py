"""The linear layers of a decoder layer, as transformers names them: their dimensions and how they are split.

Llama, Mistral, Mixtral, Qwen and Gemma share this layout. A model whose files hold more than is counted here
has other weights, and pre-flight says so.
"""

from fnmatch import fnmatchcase
from math import ceil
from typing import Literal

from pydantic import Field

from engine_specs.reading import StrictFrozen


class Experts(StrictFrozen):
    """A mixture of experts in place of the feed-forward block."""

    count: int = Field(ge=1, description="Experts of one layer.")
    active: int = Field(ge=1, description="Experts that one token passes through.")


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

    @property
    def parameters(self) -> int:
        """Weights of all matrices of this name in one layer."""
        return self.inputs * self.outputs * self.copies

    def parameters_with(self, tensor_parallel: int) -> int:
        """Return the weights of this name in one layer that one device holds."""
        if self.split == "none":
            return self.parameters
        if self.split == "outputs":
            return self.inputs * max(ceil(self.outputs / tensor_parallel), self.least_outputs) * self.copies
        return ceil(self.parameters / tensor_parallel)

    def inputs_with(self, tensor_parallel: int) -> float:
        """Return the input dimension on one device; fractional if it does not divide evenly."""
        return self.inputs / (tensor_parallel if self.split == "inputs" else 1)

    def is_left_out(self, patterns: tuple[str, ...]) -> bool:
        """Whether this weight matches a recipe's patterns of modules that stay as they are.

        Routers always stay: ModelOpt's presets leave them out, whatever the recipe.
        """
        if self.split == "none":
            return True
        name = f"model.layers.0.{self.module}"
        return any(fnmatchcase(name, pattern) or fnmatchcase(self.module, pattern) for pattern in patterns)


def decoder_weights(
    *, hidden: int, inner: int, attention: int, key_value: int, head: int, experts: Experts | None
) -> tuple[Weight, ...]:
    """Return the linear layers of one decoder layer.

    Args:
        hidden: width of the residual stream.
        inner: inner width of the feed-forward block, or of one expert.
        attention: width of all heads of the queries.
        key_value: width of all heads of the keys, and of the values.
        head: width of one head, which a device holds whole.
        experts: the mixture of experts, if there is one.
    """
    return (
        Weight(module="self_attn.q_proj", inputs=hidden, outputs=attention, split="outputs"),
        Weight(
            module="self_attn.k_proj", inputs=hidden, outputs=key_value, split="outputs", least_outputs=head
        ),
        Weight(
            module="self_attn.v_proj", inputs=hidden, outputs=key_value, split="outputs", least_outputs=head
        ),
        Weight(module="self_attn.o_proj", inputs=attention, outputs=hidden, split="inputs"),
        *_feed_forward(hidden, inner, experts),
    )


def _feed_forward(hidden: int, inner: int, experts: Experts | None) -> tuple[Weight, ...]:
    copies = experts.count if experts else 1
    prefix = "mlp.experts.0" if experts else "mlp"
    blocks = (
        Weight(module=f"{prefix}.gate_proj", inputs=hidden, outputs=inner, copies=copies, split="outputs"),
        Weight(module=f"{prefix}.up_proj", inputs=hidden, outputs=inner, copies=copies, split="outputs"),
        Weight(module=f"{prefix}.down_proj", inputs=inner, outputs=hidden, copies=copies, split="inputs"),
    )
    if experts is None:
        return blocks
    return (*blocks, Weight(module="mlp.gate", inputs=hidden, outputs=experts.count, split="none"))
