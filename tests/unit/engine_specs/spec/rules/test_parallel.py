"""Parallelism of experts, and of attention: which sizes a kind takes together, said when the spec is read."""

import pytest

from engine_specs.spec.rules import View, parallel_violations
from engine_specs.tables import load_kinds

TORCH, VLLM, PLAN, AOT = "trtllm-torch", "vllm", "trt-plan", "aot-inductor"


def violations(kind: str, target: str = "h200", **sizes: int) -> list[str]:
    return [str(one) for one in parallel_violations(View({"target": target, **sizes}), load_kinds()[kind])]


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (TORCH, {"tensor_parallel": 8, "expert_parallel": 8}),
        (TORCH, {"tensor_parallel": 8, "expert_parallel": 2}),
        (TORCH, {"data_parallel": 8, "expert_parallel": 4}),
        (TORCH, {"data_parallel": 8}),
        (TORCH, {"tensor_parallel": 4, "pipeline_parallel": 2, "expert_parallel": 4}),
        (VLLM, {"tensor_parallel": 8, "expert_parallel": 8}),
        (VLLM, {"tensor_parallel": 2, "data_parallel": 4, "expert_parallel": 8}),
        (VLLM, {"data_parallel": 4, "pipeline_parallel": 2}),
        (PLAN, {"tensor_parallel": 8}),
        (AOT, {}),
    ],
)
def test_what_the_tools_take_passes(kind: str, sizes: dict[str, int]) -> None:
    assert violations(kind, **sizes) == []


@pytest.mark.parametrize(
    ("kind", "sizes", "found"),
    [
        (
            TORCH,
            {"tensor_parallel": 8, "expert_parallel": 3},
            "expert_parallel: found 3; 1 or 2 or 4 or 8: a layer spreads over 8 devices",
        ),
        (TORCH, {"expert_parallel": 2}, "expert_parallel: found 2; 1: a layer spreads over 1 device ("),
        (
            TORCH,
            {"tensor_parallel": 2, "data_parallel": 4},
            "tensor_parallel: found 2; 1 with data_parallel: enable_attention_dp copies attention to every",
        ),
        (
            TORCH,
            {"pipeline_parallel": 2, "data_parallel": 4},
            "pipeline_parallel: found 2; 1 with data_parallel: ",
        ),
        (
            VLLM,
            {"tensor_parallel": 8, "expert_parallel": 4},
            "(tensor_parallel x data_parallel), and vllm divides experts or spreads whole ones, not both",
        ),
        (
            VLLM,
            {"tensor_parallel": 4, "data_parallel": 4},
            "data_parallel: found 4 with tensor_parallel 4; at most 8 devices of a layer with vllm",
        ),
        (
            PLAN,
            {"expert_parallel": 2},
            "expert_parallel: found 2; 1: trt-plan has no expert or attention data",
        ),
        (AOT, {"data_parallel": 2}, "kinds that have: trtllm-torch, vllm"),
    ],
)
def test_what_they_do_not_take_is_named_with_what_they_do(
    kind: str, sizes: dict[str, int], found: str
) -> None:
    (said,) = violations(kind, **sizes)
    assert found in said


@pytest.mark.parametrize("key", ["expert_parallel", "data_parallel"])
def test_a_processor_spreads_no_layer(key: str) -> None:
    (said,) = violations(VLLM, "cpu-x86-64-v3", **{key: 2})
    assert said == f"{key}: found 2 on cpu-x86-64-v3; 1: it spreads a layer over GPUs"
