"""How an engine is judged: what it is compared with, and the gates it must pass."""

from typing import Annotated, Any, Literal

from pydantic import Field

from engine_specs.reading import StrictFrozen
from engine_specs.spec.task_score import Task
from engine_specs.spec.text_source import TextSource

Confidence = Annotated[float, Field(gt=0.5, lt=1)]
TokenId = Annotated[int, Field(ge=0)]
GROSS_ERROR_NATS = 2.0
# An engine that writes garbage for a share of requests has a regret of 8 to 10 nats per token there. Below
# this share, that is less than the usual margin of 0.02 in the mean.
MAX_GROSS_ERROR_SHARE = 0.002
LENGTH_SAMPLES = 400
# 64 texts without any regret exclude a mean of 0.09 nats per token, so there is room for some that have it.
DEPTH_SAMPLES = 64
# A tenth of what is a gross error: one token in ten would be.
MAX_PART_REGRET_NATS = 0.2
# It starts once and answers a few dozen requests; loading the model takes most of it.
SECOND_OPINION_MINUTES = 10.0


class VllmConfiguration(StrictFrozen):
    """Settings of vLLM, by the names of its engine arguments; what is not given stays at vLLM's default."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] | None = Field(
        default=None, description="Type of weights and activations."
    )
    quantization: (
        Literal["fp8_per_tensor", "fp8_per_channel", "fp8_per_block", "int8_per_channel_weight_only"] | None
    ) = Field(default=None, description="Quantization that vLLM does itself while it loads the checkpoint.")
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8"] | None = Field(
        default=None, description="Type of stored keys and values."
    )
    enforce_eager: bool | None = Field(default=None, description="true: do not compile the model.")
    max_num_seqs: int | None = Field(default=None, ge=1, description="Most sequences in one iteration.")
    max_num_batched_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens in one iteration."
    )
    enable_prefix_caching: bool | None = Field(
        default=None, description="Reuse keys and values of equal prefixes."
    )
    enable_chunked_prefill: bool | None = Field(default=None, description="Read long prompts in pieces.")
    block_size: int | None = Field(default=None, ge=1, description="Tokens in one block of the KV cache.")
    gpu_memory_utilization: float | None = Field(
        default=None, gt=0, le=1, description="Share of each GPU's memory that vLLM takes."
    )

    def settings(self) -> dict[str, Any]:
        """Return what was given, by vLLM's names."""
        return self.model_dump(exclude_none=True)


class Reference(StrictFrozen):
    """vLLM, against which every engine is judged."""

    configurations: (
        Annotated[tuple[VllmConfiguration, ...], Field(strict=False, min_length=1, max_length=16)] | None
    ) = Field(
        default=None,
        description="Settings of vLLM to compare with, instead of those that follow from model, hardware and "
        "quantization. The engine has to beat each of them that is accurate enough.",
    )


class AccuracyGate(TextSource):
    """Held-out texts, and how far the engine may fall behind the reference on them."""

    max_regret_nats_per_token: float = Field(
        gt=0,
        description="How much less likely the reference may find the engine's tokens than its own.",
    )
    gross_error_nats: float = Field(
        default=GROSS_ERROR_NATS,
        gt=0,
        exclude_if=lambda nats: nats == GROSS_ERROR_NATS,
        description="A token with a larger regret is a gross error: e**2 = 7.4 times less likely than the "
        "reference's own, by default. So large is also the mean regret of the one text that the bound of the "
        "mean assumes besides those that were measured.",
    )
    max_gross_error_share: float = Field(
        default=MAX_GROSS_ERROR_SHARE,
        gt=0,
        lt=1,
        exclude_if=lambda share: share == MAX_GROSS_ERROR_SHARE,
        description="Largest share of tokens that are gross errors. The mean hides rare garbage, as long as "
        "none is among the samples. An engine without any needs about 3 / share texts: 1,510 by default.",
    )
    confidence: Confidence = Field(
        default=0.95, description="Confidence of the bound that must lie within the margin."
    )
    length_samples: int = Field(
        default=LENGTH_SAMPLES,
        ge=1,
        exclude_if=lambda samples: samples == LENGTH_SAMPLES,
        description="Texts, of `samples`, that both sides continue to their own end, to compare lengths. At "
        "least 30 of the reference's answers must end before they are as long as the workload's. If those "
        "are longer than 64 tokens, only these texts are continued as far to be scored; the others by 64.",
    )
    depth_samples: int = Field(
        default=DEPTH_SAMPLES,
        ge=1,
        exclude_if=lambda samples: samples == DEPTH_SAMPLES,
        description="Texts, of `samples`, with contexts longer than the workload's prompts, up to what the "
        "shape allows; and as many again that are continued from the longest context to the end of the "
        "shape. At most a third of `samples` each.",
    )
    max_part_regret_nats: float = Field(
        default=MAX_PART_REGRET_NATS,
        gt=0,
        exclude_if=lambda nats: nats == MAX_PART_REGRET_NATS,
        description="Mean regret that has to be excluded in each part by itself: late tokens, long contexts. "
        "A part has fewer texts than the whole, so this is larger than `max_regret_nats_per_token`, beyond "
        "which a part must not be shown to be. A smaller value needs more `depth_samples`.",
    )
    stop_token_ids: Annotated[tuple[TokenId, ...], Field(strict=False)] = Field(
        default=(),
        exclude_if=lambda ids: not ids,
        description="Token ids at which users let answers end, besides the checkpoint's own end tokens: "
        "lengths are compared up to the first of them.",
    )
    min_length_ratio: float = Field(
        default=0.90, gt=0, le=1, description="Shortest output, relative to the reference's."
    )
    max_length_ratio: float = Field(
        default=1.10, ge=1, description="Longest output, relative to the reference's."
    )


class SpeedGate(StrictFrozen):
    """How much faster than the reference an engine must be."""

    metric: Literal["goodput_per_device"] = Field(description="What is compared at the operating point.")
    min_speedup: float = Field(ge=1, description="Ratio to the reference that the lower bound must reach.")
    confidence: Confidence = Field(default=0.95, description="Confidence of that bound.")
    budget_minutes: float = Field(
        gt=0,
        description="Most time to measure one variant, from when its servers are up: accuracy, rounds, "
        "arrivals and restarts. After that, what was measured is used as it is.",
    )
    second_opinion_minutes: float = Field(
        default=SECOND_OPINION_MINUTES,
        ge=0,
        exclude_if=lambda minutes: minutes == SECOND_OPINION_MINUTES,
        description="Most time that the tool's own benchmark may take afterwards, for engines of kinds whose "
        "toolchain has one (trtllm-bench); 0: it is left out. Its figures are shown next to ours, and decide "
        "nothing. Its time counts neither against `budget_minutes` nor as a cost of the engine.",
    )


class Validation(StrictFrozen):
    """How an engine is judged."""

    reference: Reference = Field(
        default=Reference(), description="vLLM, against which every engine is judged."
    )
    accuracy: AccuracyGate = Field(description="How accurate it must be.")
    tasks: Annotated[tuple[Task, ...], Field(strict=False, max_length=16)] = Field(
        default=(),
        exclude_if=lambda tasks: not tasks,
        description="Questions with known answers, on which it may be little worse than vLLM.",
    )
    speed: SpeedGate = Field(description="How fast it must be.")
