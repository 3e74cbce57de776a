"""Which fields requests may have, by what becomes of them (vLLM 0.32, protocol.py of both entry points)."""

from collections.abc import Mapping
from typing import Any

from tasks.workers.completions_server.protocol.errors import BadRequest

COMMON = frozenset(
    [
        "model", "max_tokens", "n", "stream", "stream_options", "return_token_ids", "logprobs",
        "ignore_eos", "min_tokens", "stop", "stop_token_ids", "include_stop_str_in_output",
        "skip_special_tokens", "add_special_tokens", "seed", "temperature", "top_p", "top_k", "min_p",
        "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias",
    ]
)  # fmt: skip
COMPLETION = COMMON | {"prompt", "echo"}
CHAT = COMMON | {
    "messages", "max_completion_tokens", "top_logprobs", "add_generation_prompt", "chat_template_kwargs",
    "documents", "reasoning_effort",
}  # fmt: skip
# Labels, and settings of what does not exist here, such as a prefix cache or images.
WITHOUT_EFFECT = frozenset(
    [
        "user", "request_id", "session_id", "cache_salt", "parallel_tool_calls", "include_reasoning",
        "mm_payload", "return_mm_kwargs", "media_io_kwargs", "mm_processor_kwargs", "truncation_side",
        "routed_experts_prompt_start", "return_token_offsets", "length_penalty",
    ]
)  # fmt: skip
# Fields that are accepted with exactly these values, because others would change the answer.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "suffix": (),
    "use_beam_search": (False,),
    "truncate_prompt_tokens": (),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "prompt_logprobs": (),
    "logprob_token_ids": ([],),
    "prompt_embeds": (),
    "response_format": ({"type": "text"},),
    "structured_outputs": (),
    "spaces_between_special_tokens": (True,),
    "return_tokens_as_token_ids": (False,),
    "return_prompt_text": (False,),
    "kv_transfer_params": (),
    "ec_transfer_params": (),
    "vllm_xargs": ({},),
    "repetition_detection": (),
    "thinking_token_budget": (-1,),
    "stream_interval": (1,),
    "priority": (0,),
    "watermarking": (False,),
}
NEUTRAL_CHAT = NEUTRAL | {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "chat_template": (),
    "continue_final_message": (False,),
    "echo": (False,),
}


def ignored_fields(body: Mapping[str, Any], *, chat: bool) -> tuple[str, ...]:
    """The fields that are unknown, and so without effect.

    Raises:
        BadRequest: a field asks for what is not supported.
    """
    honoured, neutral = (CHAT, NEUTRAL_CHAT) if chat else (COMPLETION, NEUTRAL)
    ignored = []
    for name, value in body.items():
        if name in honoured or name in WITHOUT_EFFECT:
            continue
        if name not in neutral:
            ignored.append(name)
        elif value is not None and value not in neutral[name]:
            accepted = " or ".join(["absent", *map(repr, neutral[name])])
            raise BadRequest(f"{name} = {value!r} is not supported: it must be {accepted}", name)
    return tuple(ignored)
