"""Engine kinds: how each one is built and served. What a kind can do stands as data in `engine_specs/kinds`.

`kind_named` is the only place that knows the kinds' names; the rest of the pipeline asks it.
"""

from types import MappingProxyType

from tasks.errors import UnknownKind
from tasks.kinds.aot_inductor import AOT_INDUCTOR
from tasks.kinds.kind import JobPlan, Kind
from tasks.kinds.trt_plan import TRT_PLAN
from tasks.kinds.trtllm_torch import TRTLLM_TORCH
from tasks.workers.common.tool_command import ToolCommand

KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (AOT_INDUCTOR, TRT_PLAN, TRTLLM_TORCH)}
)


def kind_named(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        UnknownKind: there is no code for it.
    """
    if name not in KINDS:
        raise UnknownKind(
            f"There is no engine kind {name}.", where="engine.kind", fix=f"Choose one of: {', '.join(KINDS)}."
        )
    return KINDS[name]


__all__ = ["KINDS", "JobPlan", "Kind", "ToolCommand", "kind_named"]
