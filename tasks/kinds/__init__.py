"""Engine kinds: how each one is built and served. What a kind supports is data, in `engine_specs/kinds`.

A kind is a module, or a folder if it takes several; what several share lies next to them.

Promises: only this folder knows the kinds by name; the rest of the pipeline asks `kind_named`.
"""

from types import MappingProxyType

from tasks.errors import UnknownKind
from tasks.kinds.aot_inductor import AOT_INDUCTOR
from tasks.kinds.kind import Kind
from tasks.kinds.llm_args import unchecked_args
from tasks.kinds.speculation import DRAFT_FOLDER, vllm_settings
from tasks.kinds.trt_plan import TRT_PLAN
from tasks.kinds.trtllm_torch import TRTLLM_TORCH
from tasks.kinds.vllm import (
    VLLM,
    is_vllm,
    kv_cache_settings,
    loading_settings,
    vllm_serve_command,
    with_memory_share,
)
from tasks.workers.common.tool_command import ToolCommand

KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (AOT_INDUCTOR, TRT_PLAN, TRTLLM_TORCH, VLLM)}
)


def kind_named(name: str) -> Kind:
    """Return the kind with this name.

    Raises:
        UnknownKind: there is none.
    """
    if name not in KINDS:
        raise UnknownKind(
            f"there is no engine kind {name}", where="engine.kind", fix=f"choose one of: {', '.join(KINDS)}"
        )
    return KINDS[name]


__all__ = [
    "DRAFT_FOLDER",
    "KINDS",
    "ToolCommand",
    "is_vllm",
    "kind_named",
    "kv_cache_settings",
    "loading_settings",
    "unchecked_args",
    "vllm_serve_command",
    "vllm_settings",
    "with_memory_share",
]
