"""The kind vllm: what it runs for any variant, held against vLLM's own parser, and what it refuses."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.standin.interface_tables import broken, table, values

from engine_specs.preflight.support import usable_recipes
from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import OptionValue, load_kinds, load_targets
from engine_specs.tables.kind_options import KindOption
from tasks.kinds import kind_named
from tasks.kinds.vllm.kind import GPU_OPTIONS
from tasks.workers.common.sources import closure
from tasks.workers.vllm.launch import Asked, server_command
from tasks.workers.vllm.request import VllmAdmission, VllmParams

KIND, FACTS = kind_named("vllm"), load_kinds()["vllm"]
INTERFACE = table("vllm-serve-0.32")
# A generation that the kind does not know yet takes no recipe.
TARGETS = [
    row
    for row in load_targets().values()
    if row.platform in FACTS.platforms and usable_recipes(FACTS, row, None, row.accelerator)
]
QUANTIZED = [row.name for row in FACTS.recipes if row.name != "none"]
SHAPE = Shape(max_batch_size=8, max_input_len=512, max_seq_len=1024, max_num_tokens=2048)


def accepted(option: KindOption) -> st.SearchStrategy[OptionValue | None]:
    """Values that a spec may give, and the default."""
    if option.choices:
        given = st.sampled_from(option.choices)
    elif option.type == "bool":
        given = st.booleans()
    elif option.type == "int":
        given = st.integers(int(option.minimum or 0), int(option.maximum or 10))
    else:
        given = st.floats(option.minimum, option.maximum)
    return st.just(option.default) | given


@st.composite
def variants(draw: st.DrawFn) -> ResolvedVariant:
    """Any variant of this kind that its tables take."""
    target = draw(st.sampled_from(TARGETS))
    options = {row.name: draw(accepted(row)) for row in FACTS.options}
    if target.gpu is None:
        options |= dict.fromkeys(GPU_OPTIONS)
    recipe = draw(st.sampled_from(usable_recipes(FACTS, target, None, target.accelerator)))
    if recipe != "none" and options["dtype"] == "float32":
        options["dtype"] = "auto"
    tensor, copies = (draw(st.sampled_from([1, 2])) if target.gpu else 1 for _ in range(2))
    return ResolvedVariant(
        name="v",
        target=target,
        tensor_parallel=tensor,
        data_parallel=copies,
        expert_parallel=draw(st.sampled_from([1, tensor * copies])),
        engine=Engine(kind="vllm", options=options),
        quantization=Quantization(recipe=recipe, device=target.accelerator),
        shape=SHAPE,
    )


def variant(
    target: str = "cpu-x86-64-v3", recipe: str = "none", kv_cache: str = "none", **options: object
) -> ResolvedVariant:
    row = load_targets()[target]
    whole = {option.name: option.default for option in FACTS.options} | options
    return ResolvedVariant(
        name="v",
        target=row,
        engine=Engine(kind="vllm", options=whole),  # type: ignore[arg-type]
        quantization=Quantization(recipe=recipe, kv_cache=kv_cache, device=row.accelerator),
        shape=SHAPE,
    )


def vllm_flags(variant: ResolvedVariant) -> list[str]:
    argv = KIND.serve_command(variant).argv
    return list(argv[argv.index("--") + 1 :])


@given(variants())
def test_every_command_is_one_that_vllms_parser_takes(variant: ResolvedVariant) -> None:
    asked = Asked(Path("/engine"), "127.0.0.1", 8000, "model", tuple(vllm_flags(variant)))
    _, _, module, *argv = server_command(Path("python"), Path("/place/model"), asked)
    assert module == INTERFACE["program"]
    assert broken(INTERFACE, argv) == []


@given(variants())
def test_the_devices_of_a_command_are_those_of_the_variant(variant: ResolvedVariant) -> None:
    flags = values(vllm_flags(variant))
    sizes = [int(flags.get(f"--{name}-parallel-size", 1)) for name in ("tensor", "pipeline", "data")]
    assert math.prod(sizes) == variant.devices
    assert ("--enable-expert-parallel" in flags) == (variant.expert_parallel > 1)
    assert KIND.build_job(variant).params.target.gpu_count == (variant.devices if variant.target.gpu else 0)  # type: ignore[attr-defined]


@given(variants())
def test_whatever_the_tables_take_has_no_problem(variant: ResolvedVariant) -> None:
    assert KIND.option_problems(variant) == ()


def test_sizes_come_from_the_shape_and_quantization_from_the_recipe() -> None:
    flags = values(vllm_flags(variant("h200", "fp8", "fp8")))
    assert (flags["--max-model-len"], flags["--max-num-seqs"]) == ("1024", "8")
    assert flags["--max-num-batched-tokens"] == "2048"
    assert (flags["--quantization"], flags["--kv-cache-dtype"]) == ("modelopt", "fp8")
    assert flags["--gpu-memory-utilization"] == "0.9"
    plain = values(vllm_flags(variant()))
    assert "--quantization" not in plain
    assert plain["--kv-cache-dtype"] == "auto"
    assert "--gpu-memory-utilization" not in plain


def test_an_option_that_a_spec_sets_is_a_flag_once() -> None:
    flags = vllm_flags(variant("h200", gpu_memory_utilization=0.5, cudagraph_mode="FULL", enforce_eager=True))
    assert flags.count("--gpu-memory-utilization") == 1
    assert values(flags)["--gpu-memory-utilization"] == "0.5"
    assert values(flags)["--compilation-config.cudagraph_mode"] == "FULL"
    assert "--enforce-eager" in flags
    assert "--disable-log-stats" in vllm_flags(variant(disable_log_stats=True))


def test_gpus_that_share_a_layer_do_without_the_kernel_that_needs_nvcc_unless_it_is_asked_for() -> None:
    fused = "--compilation-config.pass_config.fuse_allreduce_rms"
    spread = variant("h200").model_copy(update={"tensor_parallel": 2})
    assert values(vllm_flags(spread))[fused] == "False"
    asked = variant("h200", fuse_allreduce_rms=True).model_copy(update={"tensor_parallel": 2})
    assert vllm_flags(asked).count(fused) == 1
    assert values(vllm_flags(asked))[fused] == "True"
    assert fused not in vllm_flags(variant("h200"))
    (problem,) = KIND.option_problems(variant(fuse_allreduce_rms=True))
    assert problem.field.endswith("engine.options.fuse_allreduce_rms")


def test_the_launcher_serves_from_the_tree_alone() -> None:
    serve = KIND.serve_command(variant())
    command = serve.command(
        python="py", bin_dir="b", tree="/engine", scratch="/scratch", host="::1", port=7, model="demo"
    )
    own = ["--tree", "/engine", "--host", "::1", "--port", "7", "--model", "demo", "--"]
    assert command[: 4 + len(own)] == ["py", "-P", "-m", "tasks.workers.vllm.serve", *own]
    assert serve.environment(tree="/engine", scratch="/s") == {
        "PYTHONPATH": "/engine/server",
        "VLLM_LOGGING_LEVEL": "INFO",
        "VLLM_LOG_STATS_INTERVAL": "3600",
        "VLLM_USE_AOT_COMPILE": "0",
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
    }
    assert serve.served_model("demo") == "demo"
    on_gpu = KIND.serve_command(variant("h200"))
    assert on_gpu.toolchain == "vllm-cuda"
    assert on_gpu.env["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert "VLLM_USE_AOT_COMPILE" not in on_gpu.env


def test_the_starts_of_the_build_are_the_serve_command_but_for_their_caches() -> None:
    job = KIND.build_job(variant())
    serve = KIND.serve_command(variant())
    here = {"{output}": "{tree}", "127.0.0.1": "{host}"}
    for command, caches in zip(job.commands, ("empty", "shipped"), strict=True):
        moved = [here.get(part, part) for part in command.argv]
        own, flags = moved[: moved.index("--")], moved[moved.index("--") :]
        assert own[-2:] == ["--caches", caches]
        assert own[-3] == "model"
        assert (*own[:-3], "{model}", *flags) == serve.argv
        assert command.env | {"PYTHONPATH": "{tree}/server"} == serve.env


def test_the_job_holds_what_changes_the_engine_and_nothing_else() -> None:
    job = KIND.build_job(variant())
    assert KIND.build_job(variant().model_copy(update={"name": "other", "required": False})) == job
    assert KIND.build_job(variant(enforce_eager=True)).params != job.params
    assert KIND.build_job(variant("cpu-x86-64-v2")).params != job.params
    assert isinstance(job.params, VllmParams)
    assert replace(job.params, serve=job.params.serve) == job.params


def test_what_the_checkpoint_must_be_follows_from_the_recipe() -> None:
    quantized = KIND.build_job(variant("h200", "fp8", "fp8")).admission
    assert isinstance(quantized, VllmAdmission)
    assert (quantized.quant_algos, quantized.kv_cache_quant_algos) == (("FP8",), ("FP8",))
    plain = KIND.build_job(variant()).admission
    assert isinstance(plain, VllmAdmission)
    assert (plain.quant_algos, plain.kv_cache_quant_algos) == ((None,), (None,))


def test_the_tree_ships_the_launcher_and_nothing_of_the_build() -> None:
    (shipped,) = KIND.build_job(variant()).ships
    names = {source.name.removeprefix("tasks/workers/") for source in closure(shipped)}
    assert {f"vllm/{name}.py" for name in ("serve", "place", "captures", "launch")} <= names
    assert not any(name.startswith(("vllm/build", "vllm/proof", "vllm/starts", "aot/")) for name in names)


@pytest.mark.parametrize("name", GPU_OPTIONS)
def test_options_of_gpus_are_refused_on_a_processor(name: str) -> None:
    row = next(option for option in FACTS.options if option.name == name)
    value = row.choices[0] if row.choices else {"int": 8, "float": 0.5, "bool": True}[row.type]
    (problem,) = KIND.option_problems(variant(**{name: value}))
    assert problem.field == f"variants.v.engine.options.{name}"
    assert KIND.option_problems(variant("h200", **{name: value})) == ()


@pytest.mark.parametrize("recipe", QUANTIZED)
def test_quantized_weights_are_not_computed_in_float32(recipe: str) -> None:
    (problem,) = KIND.option_problems(variant("b200", recipe, dtype="float32"))
    assert problem.accepted == "auto, bfloat16 or float16"
    assert KIND.option_problems(variant("b200", dtype="float32")) == ()


@pytest.mark.parametrize("recipe", QUANTIZED)
def test_every_recipe_of_the_kind_is_read_as_an_export_of_modelopt(recipe: str) -> None:
    assert values(vllm_flags(variant("b200", recipe)))["--quantization"] == "modelopt"


def test_a_kv_cache_in_nvfp4_is_asked_for_by_its_name() -> None:
    assert values(vllm_flags(variant("b200", "nvfp4", "nvfp4")))["--kv-cache-dtype"] == "nvfp4"


def test_sizes_that_vllm_refuses_are_named() -> None:
    narrow = variant().model_copy(update={"shape": SHAPE.model_copy(update={"max_num_tokens": 4})})
    (problem,) = KIND.option_problems(narrow)
    assert problem.accepted.startswith("at least 8")
    whole = variant(enable_chunked_prefill=False)
    short = whole.model_copy(update={"shape": SHAPE.model_copy(update={"max_num_tokens": 512})})
    assert KIND.option_problems(whole) == ()
    (problem,) = KIND.option_problems(short)
    assert "enable_chunked_prefill" in problem.accepted


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_takes_plain_weights_and_only_gpus_with_fp8_take_fp8(target) -> None:
    recipes = usable_recipes(FACTS, target, "LlamaForCausalLM", target.accelerator)
    has_fp8 = target.gpu is not None and any(row.format == "fp8" for row in target.gpu.throughput)
    assert "none" in recipes
    assert ("fp8" in recipes) == has_fp8
