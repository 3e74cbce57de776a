"""The kind's jobs and serve commands: what enters them, and what serves the result."""

import pytest

from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from tasks.kinds import kind_named
from tasks.workers.common.sources import closure

KIND = kind_named("trtllm-torch")
FACTS = load_kinds()["trtllm-torch"]


@pytest.fixture
def variant() -> ResolvedVariant:
    return ResolvedVariant(
        name="b200",
        target=load_targets()["b200"],
        tensor_parallel=2,
        engine=Engine(kind="trtllm-torch", options={row.name: row.default for row in FACTS.options}),
        quantization=Quantization(recipe="nvfp4", kv_cache="fp8", device="cuda"),
        shape=Shape(max_batch_size=64, max_input_len=1024, max_seq_len=2048, max_num_tokens=8192),
    )


def with_recipe(variant: ResolvedVariant, recipe: str, target: str = "b200") -> ResolvedVariant:
    quantization = variant.quantization.model_copy(update={"recipe": recipe})
    return variant.model_copy(update={"quantization": quantization, "target": load_targets()[target]})


def test_the_server_reads_the_tree_and_rewrites_a_copy_of_the_cache(variant: ResolvedVariant) -> None:
    serve = KIND.serve_command(variant)
    command = serve.command(
        python="py", bin_dir="/bin", tree="/engine", scratch="/s", host="127.0.0.1", port=8000, model="demo"
    )
    assert command == [
        "/bin/trtllm-serve", "/engine", "--config", "/engine/llm_args.yaml",
        "--host", "127.0.0.1", "--port", "8000", "--served_model_name", "demo", "--log_level", "warning",
        "--no-telemetry",
    ]  # fmt: skip
    assert serve.environment(tree="/engine", scratch="/own") == {
        "TLLM_AUTOTUNER_CACHE_PATH": "/own/autotuner/cache.json"
    }
    assert serve.rewrites == ("autotuner/cache.json",)
    assert (serve.toolchain, serve.model, serve.ready_path) == ("tensorrt-llm-1.4", "model", "/health")
    assert serve.generated_ids == "instead-of-text"


def test_the_warm_up_is_the_same_server_over_the_tree_that_is_made(variant: ResolvedVariant) -> None:
    job = KIND.build_job(variant)
    (command,) = job.commands
    here = {"{output}": "{tree}", "127.0.0.1": "{host}", "model": "{model}", "info": "warning"}
    moved = [here.get(part, part.replace("{output}", "{tree}")) for part in command.argv]
    assert tuple(moved) == KIND.serve_command(variant).argv
    assert command.env == {"TLLM_AUTOTUNER_CACHE_PATH": "{output}/autotuner/cache.json"}
    assert job.params.commands == (command,)


def test_the_job_holds_what_changes_the_engine_and_nothing_else(variant: ResolvedVariant) -> None:
    job = KIND.build_job(variant)
    assert KIND.build_job(variant.model_copy(update={"name": "other", "required": False})) == job
    wider = variant.model_copy(update={"tensor_parallel": 4})
    assert KIND.build_job(wider).params.llm_args["tensor_parallel_size"] == 4
    assert KIND.build_job(wider).params.target.gpu_count == 4
    assert KIND.build_job(with_recipe(variant, "fp8")) != job


def test_the_fingerprinted_sources_include_every_helper(variant: ResolvedVariant) -> None:
    names = {source.name.removeprefix("tasks/workers/") for source in closure(KIND.build_job(variant).worker)}
    helpers = {f"trtllm_torch/{name}.py" for name in ("build", "tree", "warm_up")}
    assert (
        helpers
        | {
            "common/hf_checkpoint.py",
            "common/trial_server.py",
            "common/gpu_host.py",
            "common/io.py",
            "common/manifest.py",
        }
        <= names
    )
    assert not any(name.startswith(("aot/", "quantize/", "trt_plan/")) for name in names)


@pytest.mark.parametrize(
    ("recipe", "target", "accepted"),
    [
        ("none", "h100-sxm", [None]),
        ("fp8", "h100-sxm", ["FP8"]),
        ("nvfp4_mlp_only", "b200", ["NVFP4"]),
    ],
)
def test_the_checkpoint_must_have_the_format_of_the_recipe(
    variant: ResolvedVariant, recipe: str, target: str, accepted: list[str | None]
) -> None:
    asked = KIND.build_job(with_recipe(variant, recipe, target)).admission
    assert list(asked.quant_algos) == accepted
    assert asked.kv_cache_quant_algos == ("FP8",)


def test_a_recipe_file_may_make_every_format_that_the_gpu_computes_with(variant: ResolvedVariant) -> None:
    asked = KIND.build_job(with_recipe(variant, "modelopt_file", "b200")).admission
    assert set(asked.quant_algos) == {"MIXED_PRECISION", *asked.layer_quant_algos}


def test_formats_of_layers_are_those_of_the_gpu(variant: ResolvedVariant) -> None:
    def layers(target: str) -> set[str | None]:
        return set(KIND.build_job(with_recipe(variant, "auto", target)).admission.layer_quant_algos)

    integers = {"W4A16_AWQ", "W4A8_AWQ"}
    assert layers("b200") >= {"FP8", "NVFP4"}
    assert not layers("b200") & integers
    assert layers("h100-sxm") >= {"FP8", "FP8_PER_CHANNEL_PER_TOKEN", *integers}
    assert layers("l4") >= {"FP8", *integers}
    for hopper_or_blackwell in ({"NVFP4"}, {"FP8_PER_CHANNEL_PER_TOKEN"}):
        assert not layers("l4") & hopper_or_blackwell


def test_switches_take_their_settings_with_them(variant: ResolvedVariant) -> None:
    off = {"cuda_graph": False, "torch_compile": True}
    engine = variant.engine.model_copy(update={"options": variant.engine.options | off})
    given = KIND.build_job(variant.model_copy(update={"engine": engine})).params.llm_args
    assert given["cuda_graph_config"] is None
    assert given["torch_compile_config"]["enable_inductor"] is False
    default = KIND.build_job(variant).params.llm_args
    assert default["cuda_graph_config"] == {"enable_padding": True, "max_batch_size": 64}
    assert default["torch_compile_config"] is None
