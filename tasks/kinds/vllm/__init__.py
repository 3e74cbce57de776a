"""vLLM, as a kind of engine (`kind`) and as the reference of every verdict (`reference`), with its flags."""

from tasks.kinds.vllm.kind import VLLM
from tasks.kinds.vllm.reference import (
    is_vllm,
    kv_cache_settings,
    loading_settings,
    vllm_serve_command,
    with_memory_share,
)

__all__ = [
    "VLLM",
    "is_vllm",
    "kv_cache_settings",
    "loading_settings",
    "vllm_serve_command",
    "with_memory_share",
]
