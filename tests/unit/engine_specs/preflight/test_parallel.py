"""Pre-flight of tensor and pipeline parallelism: what has to divide, and the nearest size that does."""

import pytest
from support.specs.gpu import CONFIG, FILES, gpu_variant, preflight

from engine_specs.spec import RecipeSearch, Spec
from engine_specs.tables import load_kinds
from tasks.workers.aot.config import FLASH_HEAD_MULTIPLE, FLASH_WIDEST_HEAD


@pytest.mark.parametrize(
    ("asked", "change", "nearest"),
    [
        (3, {}, 2),
        (8, {}, None),
        (16, {"num_key_value_heads": 4}, None),
        (6, {"hidden_size": 4128, "num_attention_heads": 48, "num_key_value_heads": 4}, 4),
        (4, {"hidden_size": 4128, "num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 128}, 2),
        (2, {"num_key_value_heads": None}, None),
        (8, {"intermediate_size": 14336 + 4}, 4),
    ],
)
def test_heads_and_the_inner_width_divide_by_tensor_parallelism(
    spec: Spec, asked: int, change: dict[str, int], nearest: int | None
) -> None:
    problems = preflight(spec, gpu_variant(spec, tensor_parallel=asked), CONFIG | change, FILES)
    found = [(p.field, p.found, p.accepted.partition(":")[0]) for p in problems]
    expected = [] if nearest is None else [("variants.first.tensor_parallel", str(asked), str(nearest))]
    assert found == expected


def test_an_odd_vocabulary_is_padded_and_so_no_problem(spec: Spec) -> None:
    assert (
        preflight(spec, gpu_variant(spec, tensor_parallel=2), CONFIG | {"vocab_size": 128_257}, FILES) == ()
    )


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        ("trt-plan", 5, "found 5; 4: 32 layers have to divide evenly for trt-plan"),
        ("trt-plan", 33, "found 33; at most 32, the layers of the model"),
        ("trtllm-torch", 33, "found 33; at most 32, the layers of the model"),
        ("trtllm-torch", 5, None),
        ("trt-plan", 8, None),
    ],
)
def test_layers_are_enough_for_a_pipeline(spec: Spec, kind: str, asked: int, expected: str | None) -> None:
    problems = preflight(spec, gpu_variant(spec, kind, pipeline_parallel=asked), CONFIG, FILES)
    assert [str(problem) for problem in problems] == (
        [f"variants.first.pipeline_parallel: {expected}"] if expected else []
    )


def test_a_plan_of_several_formats_is_not_divided_by_layers(spec: Spec) -> None:
    search = RecipeSearch(effective_bits=7.0, candidates=("fp8", "int4_awq"))
    variant = gpu_variant(spec, recipe="auto", search=search, pipeline_parallel=2)
    (problem,) = preflight(spec, variant, CONFIG, FILES)
    assert problem.field == "variants.first.pipeline_parallel"
    assert problem.accepted.startswith("1 with recipe auto: the builder reads the format of each layer")
    served = gpu_variant(spec, "trtllm-torch", recipe="auto", search=search, pipeline_parallel=2)
    assert preflight(spec, served, CONFIG, FILES) == ()


def test_groups_have_to_divide_on_each_device(spec: Spec) -> None:
    config = CONFIG | {"intermediate_size": 128 * 4, "max_position_embeddings": 8192}
    variant = gpu_variant(spec, recipe="int4_awq", tensor_parallel=8)
    files = FILES | {"model.safetensors": 5_000_000_000}
    (problem,) = preflight(spec, variant, config, files)
    assert problem.field == "variants.first.quantization.recipe"
    assert problem.found == "int4_awq with mlp.down_proj 512 / tp 8"
    assert problem.accepted.endswith("are multiples of 128 on each device; or tensor_parallel 4")


def test_groups_that_never_divide_ask_for_another_recipe(spec: Spec) -> None:
    variant = gpu_variant(spec, recipe="int4_awq", tensor_parallel=2)
    (problem,) = preflight(spec, variant, CONFIG | {"intermediate_size": 14400}, FILES)
    assert problem.found == "int4_awq with mlp.down_proj 14400 / tp 2"
    assert problem.accepted == "recipe none, or a model whose weights' input dimensions are multiples of 128"


def test_layers_that_a_recipe_leaves_may_have_any_dimension(spec: Spec) -> None:
    variant = gpu_variant(spec, "trtllm-torch", "b200", "nvfp4_mlp_only")
    assert preflight(spec, variant, CONFIG | {"num_attention_heads": 8, "head_dim": 10}, FILES) == ()


@pytest.mark.parametrize(
    ("kind", "target", "width", "refused"),
    [
        ("aot-inductor", "h100-sxm", 256, False),
        ("aot-inductor", "h100-sxm", 264, True),
        ("aot-inductor", "h100-sxm", 20, True),
        ("aot-inductor", "cpu-x86-64-v3", 20, False),
        ("vllm", "h100-sxm", 264, False),
    ],
)
def test_heads_are_as_wide_as_the_kernels_for_gpus_take(
    spec: Spec, kind: str, target: str, width: int, refused: bool
) -> None:
    variant = gpu_variant(spec, kind, target, "none", device=None)
    found = preflight(
        spec,
        variant,
        CONFIG | {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": width},
        FILES,
    )
    assert [one.found for one in found] == [f"attention heads of {width} elements"] * refused


def test_the_widths_are_those_that_the_worker_takes() -> None:
    widths = load_kinds()["aot-inductor"].gpu_head_widths
    assert widths is not None
    assert (widths.multiple, widths.widest) == (FLASH_HEAD_MULTIPLE, FLASH_WIDEST_HEAD)
