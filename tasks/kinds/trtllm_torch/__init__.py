"""Kind trtllm-torch: the worker's job, the command of its server, and the arguments that both are given."""

from tasks.kinds.trtllm_torch.kind import TRTLLM_TORCH

__all__ = ["TRTLLM_TORCH"]
