"""Pre-flight of kind x GPU x recipe x ModelOpt x architecture: what no row of the tables names is refused."""

import pytest
from support.specs.gpu import CONFIG, FILES, gpu_variant, preflight

from engine_specs.spec import RecipeSearch, Spec
from engine_specs.tables import load_kinds

RECIPE = "variants.first.quantization.recipe"
KV_CACHE = "variants.first.quantization.kv_cache"


@pytest.mark.parametrize(
    ("kind", "target", "recipe"),
    [
        ("trt-plan", "h100-sxm", "fp8"),
        ("trt-plan", "l40s", "int4_awq"),
        ("trt-plan", "a100-80gb", "int8_smoothquant"),
        ("trt-plan", "b200", "nvfp4"),
        ("trtllm-torch", "b200", "nvfp4"),
        ("trtllm-torch", "h200", "w4a8_awq"),
        ("trt-plan", "h20", "fp8_per_channel_per_token"),
        ("trtllm-torch", "rtx-5090", "w4a16_nvfp4"),
        ("trtllm-torch", "gb10", "nvfp4"),
        ("vllm", "h200-nvl", "fp8_block_scales"),
        ("vllm", "gb300", "mxfp8"),
        ("vllm", "a100-80gb-pcie", "w4a16_nvfp4"),
        ("vllm", "gb10", "nvfp4"),
    ],
)
def test_what_the_rows_name_passes(spec: Spec, kind: str, target: str, recipe: str) -> None:
    assert preflight(spec, gpu_variant(spec, kind, target, recipe), CONFIG, FILES) == ()


@pytest.mark.parametrize(
    ("kind", "target", "recipe", "found", "there", "elsewhere"),
    [
        ("trt-plan", "b200", "int8_smoothquant", "b200 (compute capability 10.0)", "fp8, nvfp4", "a100-80gb"),
        ("trt-plan", "b200", "int4_awq", "b200 (compute capability 10.0)", "fp8, nvfp4", "l40s"),
        ("trt-plan", "a100-80gb", "fp8", "a100-80gb (compute capability 8.0)", "int4_awq", "h100-sxm"),
        ("trt-plan", "h200", "nvfp4", "h200 (compute capability 9.0)", "w4a8_awq", "gb200"),
        ("trtllm-torch", "l40s", "nvfp4", "l40s (compute capability 8.9)", "int4_awq", "rtx-pro-6000-server"),
    ],
)
def test_a_recipe_that_the_gpu_has_no_kernels_for(
    spec: Spec, kind: str, target: str, recipe: str, found: str, there: str, elsewhere: str
) -> None:
    (problem,) = preflight(spec, gpu_variant(spec, kind, target, recipe), CONFIG, FILES)
    assert (problem.field, problem.found) == (RECIPE, f"{recipe} on {found}")
    here, _, other = problem.accepted.partition(f"; or a target for {recipe}: ")
    assert f"a recipe that {kind} supports there: none, " in here
    assert there in here
    assert recipe not in here
    assert elsewhere in other.split(", ")
    assert target not in other.split(", ")


@pytest.mark.parametrize(
    ("target", "kv_cache", "there", "elsewhere"),
    [("a100-80gb", "fp8", "none, int8", "l4"), ("b200", "int8", "none, fp8", "a10")],
)
def test_a_kv_cache_that_the_gpu_has_no_kernels_for(
    spec: Spec, target: str, kv_cache: str, there: str, elsewhere: str
) -> None:
    (problem,) = preflight(spec, gpu_variant(spec, "trt-plan", target, "none", kv_cache), CONFIG, FILES)
    assert problem.field == KV_CACHE
    assert problem.found.startswith(f"{kv_cache} on {target} (compute capability ")
    assert problem.accepted.startswith(
        f"a format that trt-plan supports there: {there}; or a target for {kv_cache}"
    )
    assert elsewhere in problem.accepted


@pytest.mark.parametrize(
    ("kind", "target", "recipe", "kv_cache", "why"),
    [
        ("trt-plan", "gb10", "fp8", "none", "not established (the notes of TensorRT-LLM 1.2.0 name SM121"),
        (
            "trt-plan",
            "b200",
            "fp8_per_channel_per_token",
            "none",
            "raises RuntimeError where 100 <= SM < 120",
        ),
        ("trt-plan", "l40", "fp8_per_channel_per_token", "none", "has FP8 rowwise for Hopper only"),
        ("trtllm-torch", "gb10", "int4_awq", "none", "only what NVIDIA's playbook serves"),
        ("trtllm-torch", "gb10", "fp8", "fp8", "the playbook says nothing about the KV cache"),
        ("trtllm-torch", "h20", "fp8", "nvfp4", "documented for 10.0 and 10.3 only"),
        ("trtllm-torch", "b200", "int4_awq", "none", "what is known of int4_awq: quantization matrix"),
        ("vllm", "h20", "nvfp4", "none", "multiplies in 16 bits, as with w4a16_nvfp4"),
        ("vllm", "rtx-5090", "nvfp4", "nvfp4", "misreads heads of 64"),
    ],
)
def test_what_a_kind_leaves_out_on_a_gpu_is_refused_with_the_reason_and_its_source(
    spec: Spec, kind: str, target: str, recipe: str, kv_cache: str, why: str
) -> None:
    variant = gpu_variant(spec, kind, target, recipe, kv_cache)
    first = preflight(spec, variant, CONFIG, FILES)[0]
    assert first.field == (KV_CACHE if kv_cache != "none" else RECIPE)
    assert why in first.accepted


@pytest.mark.parametrize(
    ("size", "kind"), [("tensor_parallel", "vllm"), ("pipeline_parallel", "trtllm-torch")]
)
def test_several_devices_of_which_a_host_has_one_are_refused(spec: Spec, size: str, kind: str) -> None:
    variant = gpu_variant(spec, kind, "gb10", "fp8", **{size: 2})
    problem = next(one for one in preflight(spec, variant, CONFIG, FILES) if one.found == "2 devices")
    assert problem.field == f"variants.first.{size}"
    assert problem.accepted == "one device: a host has one gb10, and engines are served on one host"
    others = gpu_variant(spec, kind, "rtx-5090", "fp8", **{size: 2})
    assert preflight(spec, others, CONFIG, FILES) == ()


def test_an_nvfp4_kv_cache_goes_with_the_weights_and_models_that_upstream_documents(spec: Spec) -> None:
    variant = gpu_variant(spec, "trtllm-torch", "b200", "fp8", "nvfp4")
    assert preflight(spec, variant, CONFIG, FILES) == ()
    others = gpu_variant(spec, "trtllm-torch", "b200", "nvfp4", "nvfp4")
    (problem,) = preflight(spec, others, CONFIG, FILES)
    assert (problem.field, problem.found) == (KV_CACHE, "nvfp4 with recipe nvfp4")
    assert problem.accepted.startswith("it with recipe fp8; ")
    qwen = CONFIG | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    (problem,) = preflight(spec, variant, qwen, FILES)
    assert problem.found == "nvfp4 for Qwen2ForCausalLM"
    assert problem.accepted.startswith("it for LlamaForCausalLM, Qwen3ForCausalLM; ")


def test_a_recipe_that_the_kind_does_not_take_for_the_architecture(spec: Spec) -> None:
    config = CONFIG | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    (problem,) = preflight(spec, gpu_variant(spec, recipe="int4_awq"), config, FILES)
    assert (problem.field, problem.found) == (RECIPE, "int4_awq for Qwen3ForCausalLM")
    assert problem.accepted.endswith("on h100-sxm (compute capability 9.0): none, fp8")


def test_a_preset_that_this_line_makes_on_another_device_only(spec: Spec) -> None:
    variant = gpu_variant(spec, "trt-plan", "b200", "nvfp4", device="cpu")
    (problem,) = preflight(spec, variant, CONFIG, FILES)
    assert problem.field == "variants.first.quantization.device"
    assert problem.found == "cpu for recipe nvfp4"
    assert problem.accepted == "cuda, where ModelOpt 0.37 exports nvfp4"
    assert (
        preflight(spec, gpu_variant(spec, "trtllm-torch", "b200", "nvfp4", device="cpu"), CONFIG, FILES) == ()
    )


@pytest.mark.parametrize(
    ("recipe", "kv_cache", "key"), [("w4a16_nvfp4", "none", "recipe"), ("none", "int8", "kv_cache")]
)
def test_a_preset_that_the_kinds_line_of_modelopt_lacks(
    spec: Spec, recipe: str, kv_cache: str, key: str
) -> None:
    kind, line = ("trt-plan", "0.37") if key == "recipe" else ("trtllm-torch", "0.47")
    problems = preflight(spec, gpu_variant(spec, kind, "h100-sxm", recipe, kv_cache), CONFIG, FILES)
    (problem,) = [one for one in problems if "ModelOpt" in one.found]
    asked = recipe if key == "recipe" else kv_cache
    assert problem.field == f"variants.first.quantization.{key}"
    assert problem.found == f"{asked} with ModelOpt {line}, whose exports {kind} reads"
    assert "none, fp8" in problem.accepted


def test_candidates_of_a_search_have_to_be_possible_alone(spec: Spec) -> None:
    search = RecipeSearch(effective_bits=6.0, candidates=("fp8", "nvfp4"))
    (problem,) = preflight(
        spec, gpu_variant(spec, "trtllm-torch", recipe="auto", search=search), CONFIG, FILES
    )
    assert problem.field == "variants.first.quantization.search.candidates"
    assert problem.found == "nvfp4"
    assert "fp8, fp8_per_channel_per_token, int4_awq, w4a8_awq" in problem.accepted
    possible = RecipeSearch(effective_bits=6.0, candidates=("fp8", "w4a8_awq"))
    variant = gpu_variant(spec, "trtllm-torch", recipe="auto", search=possible)
    assert preflight(spec, variant, CONFIG, FILES) == ()


@pytest.mark.parametrize(
    ("candidates", "found"),
    [
        (("fp8", "int4_awq", "w4a8_awq"), None),
        (("fp8", "fp8_per_channel_per_token"), "fp8_per_channel_per_token"),
    ],
)
def test_a_plan_mixes_what_upstream_mixes(spec: Spec, candidates: tuple[str, ...], found: str | None) -> None:
    search = RecipeSearch(effective_bits=8.0, candidates=candidates)
    problems = preflight(spec, gpu_variant(spec, recipe="auto", search=search), CONFIG, FILES)
    assert [problem.found for problem in problems] == ([found] if found else [])
    assert all("fp8, int4_awq, w4a8_awq" in problem.accepted for problem in problems)


def test_a_search_cannot_get_below_its_smallest_candidate(spec: Spec) -> None:
    search = RecipeSearch(effective_bits=6.0, candidates=("fp8", "fp8_per_channel_per_token"))
    (problem,) = preflight(
        spec, gpu_variant(spec, "trtllm-torch", recipe="auto", search=search), CONFIG, FILES
    )
    assert problem.field == "variants.first.quantization.search.effective_bits"
    assert str(problem).endswith("found 6; at least 8, the bits of fp8, or a smaller candidate")


@pytest.mark.parametrize(("kind", "refused"), [("trt-plan", True), ("trtllm-torch", False)])
def test_a_method_of_search_that_the_line_of_modelopt_lacks(spec: Spec, kind: str, refused: bool) -> None:
    search = RecipeSearch(effective_bits=8.5, candidates=("fp8",), method="kl_div")
    found = preflight(spec, gpu_variant(spec, kind, recipe="auto", search=search), CONFIG, FILES)
    methods = [one.accepted for one in found if one.field == "variants.first.quantization.search.method"]
    assert methods == ["gradient: ModelOpt 0.37, whose exports trt-plan reads, has no other"] * refused


@pytest.mark.parametrize(
    "written",
    [
        {"rope_parameters": {"rope_theta": 500000.0}},
        {"transformers_version": "5.14.1"},
        {"rope_parameters": {"rope_theta": 500000.0}, "transformers_version": "5.14.1"},
    ],
)
def test_a_checkpoint_that_a_newer_transformers_wrote(spec: Spec, written: dict[str, object]) -> None:
    (problem,) = preflight(spec, gpu_variant(spec), CONFIG | written, FILES)
    assert problem.field == "checkpoint.repo"
    assert problem.found.startswith("owner/model, written by a newer transformers (")
    assert all(key in problem.found for key in written)
    assert "defaults for rope_parameters without an error" in problem.accepted
    reading = ", ".join(name for name, kind in load_kinds().items() if kind.transformers_major >= 5)
    assert "trtllm-torch" in reading
    assert problem.accepted.endswith(f"or a kind that reads it: {reading}")
    assert preflight(spec, gpu_variant(spec, "trtllm-torch"), CONFIG | written, FILES) == ()
