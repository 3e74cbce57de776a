"""Speculative decoding as each server's tool spells it. Pure.

Names and rules: `vllm/config/speculative.py` of vLLM 0.32.0 (SpeculativeConfig), and models that inherit from
DecodingBaseConfig in `tensorrt_llm/llmapi/llm_args.py` of NVIDIA/TensorRT-LLM at
0004396720054fd8e205cbf616f21f0b57c6b412.
"""

from typing import Any

from engine_specs.spec import ResolvedVariant, Speculative
from engine_specs.tables import SpeculativeMethod
from tasks.kinds.llm_args import Decided

# Where the checkpoint that drafts tokens is, below that of the model which checks them.
DRAFT_FOLDER = "draft"
# The names of TensorRT-LLM's `decoding_type`; vLLM's `method` has those of specs.
DECODING_TYPES: dict[SpeculativeMethod, str] = {
    "ngram": "NGram",
    "mtp": "MTP",
    "eagle3": "Eagle3",
    "draft_model": "Draft_Target",
}
BY = "speculative"


def drafting(variant: ResolvedVariant) -> dict[str, Any] | None:
    """Return how tokens are drafted, as `engine.json` says it; None if they are not."""
    return variant.speculative.model_dump(mode="json") if variant.speculative else None


def vllm_settings(asked: Speculative | None, tree: str) -> dict[str, Any]:
    """Return the settings of vLLM with which it speculates; none without `asked`.

    Args:
        asked: how tokens are drafted.
        tree: directory of the checkpoint that is served, with the draft's below it.
    """
    if asked is None:
        return {}
    own = {"speculative_method": asked.method, "speculative_tokens": asked.tokens}
    return own | ({"speculative_model": f"{tree}/{DRAFT_FOLDER}"} if asked.draft else {})


def trtllm_args(variant: ResolvedVariant) -> dict[str, Decided]:
    """Return the arguments of TensorRT-LLM's LLM class with which it speculates; none if it does not."""
    asked = variant.speculative
    if asked is None:
        return {}
    own: dict[str, Any] = {"decoding_type": DECODING_TYPES[asked.method], "max_draft_len": asked.tokens}
    if asked.draft is not None:
        own["speculative_model"] = f"{{tree}}/{DRAFT_FOLDER}"
    if asked.method == "ngram":
        # Otherwise a request would be drafted from what others were answered; vLLM never does that.
        own["is_public_pool"] = False
    return {f"speculative_config.{name}": Decided(value, BY) for name, value in own.items()}
