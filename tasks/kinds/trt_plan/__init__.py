"""Kind trt-plan: the commands of trtllm-build and of its server, and the settings that both are given."""

from tasks.kinds.trt_plan.kind import TRT_PLAN

__all__ = ["TRT_PLAN"]
