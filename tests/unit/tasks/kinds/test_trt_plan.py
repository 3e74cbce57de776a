"""Kind trt-plan: every command that it emits, over the space of specs, against the tools' interfaces."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoints import trtllm_checkpoints
from support.specs.trt_plan import KIND, variant
from support.standin.interface_tables import broken, table, values
from support.standin.trtllm.arguments import build_config_of, parse
from support.standin.trtllm.llm_args_rules import load_arguments
from support.standin.trtllm.rules import apply_rules
from support.standin.trtllm.toolchain import interfaces

from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.tables import KindFacts, load_kinds, load_kv_caches, load_recipes, load_targets
from engine_specs.tables.kind_options import KindOption
from tasks.errors import OptionsClash
from tasks.kinds import kind_named
from tasks.kinds.trt_plan.kind import TRT_PLAN
from tasks.kinds.trt_plan.settings import clashes

ARGUMENTS = {
    name: row for model in load_arguments(KIND)["models"].values() for name, row in model.items()
} | {"kv_cache_free_gpu_memory_fraction": {"type": "float"}}
BUILD, SERVE, ENGINE = table("trtllm-build-1.2"), table("trtllm-serve-1.2"), table("engine-1.2")
INTERFACES = interfaces()
FACTS: KindFacts = load_kinds()[KIND]
PLACEHOLDERS = {
    "build": {"{bin}", "{checkpoint}", "{output}"},
    "serve": {"{bin}", "{tree}", "{host}", "{port}"},
}
AWQ = {"recipe": "int4_awq", "kv_cache": "none"}
PLAIN = {"recipe": "none", "kv_cache": "none"}
INT8 = {"target": "a100-80gb", "recipe": "int8_smoothquant", "kv_cache": "int8"}
WINDOW = {"kv_cache_config": {"max_attention_window": [128]}}
ONE_SHORT = Shape(max_batch_size=1, max_input_len=32, max_seq_len=64, max_num_tokens=32)
BLOCK = max(next(row for row in FACTS.options if row.name == "tokens_per_block").choices)


def options() -> st.SearchStrategy[dict[str, Any]]:
    """Some options of the kind, with any value that a spec may give them."""
    return st.fixed_dictionaries({}, optional={row.name: values_of(row) for row in FACTS.options})


def values_of(row: KindOption) -> st.SearchStrategy[Any]:
    if row.choices:
        return st.sampled_from(row.choices)
    least, most = row.minimum or 0, row.maximum or 10_000
    numbers = {"int": st.integers(int(least), int(most)), "float": st.floats(least, most)}
    return st.booleans() if row.type == "bool" else numbers[row.type]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    seq = draw(st.integers(BLOCK, 32_768))
    prompt, batch = draw(st.integers(1, seq - 1)), draw(st.integers(1, 512))
    tokens = draw(st.integers(max(prompt, batch, BLOCK), 65_536))
    return Shape(max_batch_size=batch, max_input_len=prompt, max_seq_len=seq, max_num_tokens=tokens)


@st.composite
def variants(draw: st.DrawFn) -> ResolvedVariant:
    """What pre-flight lets through: target, recipe and KV cache go together; options are any."""
    capabilities = {capability for row in FACTS.recipes for capability in row.compute_capabilities}
    gpus = [row for row in load_targets().values() if row.compute_capability in capabilities]
    target = draw(st.sampled_from(gpus))
    capability = target.compute_capability
    recipes = [row.name for row in FACTS.recipes if capability in row.compute_capabilities]
    caches = [row.name for row in FACTS.kv_caches if capability in row.compute_capabilities]
    return variant(
        target.name,
        draw(st.sampled_from(recipes)),
        draw(st.sampled_from(caches)),
        draw(shapes()),
        draw(st.sampled_from([1, 2, 4, 8])),
        draw(st.sampled_from([1, 2])),
        **draw(options()),
    )


def without_clashes(given_variant: ResolvedVariant) -> ResolvedVariant:
    """The same, without the options that its other settings rule out."""
    defaults = {option.name: option.default for option in FACTS.options}
    chosen = given_variant.engine.options
    for _ in range(len(chosen)):
        names = {clash.option for clash in clashes(given_variant)}
        if not names:
            break
        chosen = chosen | {name: defaults[name] for name in names | {"use_fused_mlp"}}
        engine = given_variant.engine.model_copy(update={"options": chosen})
        given_variant = given_variant.model_copy(update={"engine": engine})
    return given_variant


def emitted(given_variant: ResolvedVariant) -> list[str]:
    (command,) = TRT_PLAN.build_job(given_variant).commands
    return list(command.argv[1:])


def built(given_variant: ResolvedVariant) -> tuple[dict[str, Any], dict[str, Any]]:
    """BuildConfig as asked, and as trtllm-build would have it."""
    args = parse(emitted(given_variant), BUILD)
    architecture = "MixtralForCausalLM" if args.pp_reduce_scatter == "enable" else "LlamaForCausalLM"
    model = trtllm_checkpoints.config(
        architecture,
        load_recipes()[given_variant.quantization.recipe].quant_algo,
        load_kv_caches()[given_variant.quantization.kv_cache].quant_algo,
        given_variant.tensor_parallel,
        given_variant.pipeline_parallel,
    )
    asked, config = build_config_of(args, INTERFACES), build_config_of(args, INTERFACES)
    capability = (given_variant.target.compute_capability or "").replace(".", "")
    apply_rules(config, model, int(capability), args)
    return asked, config


@given(variants())
def test_a_command_is_one_that_the_tools_take_or_is_refused(any_variant: ResolvedVariant) -> None:
    found = clashes(any_variant)
    if found:
        with pytest.raises(OptionsClash) as caught:
            TRT_PLAN.build_job(any_variant)
        assert all(str(clash) in str(caught.value) for clash in found)
        return
    assert broken(BUILD, emitted(any_variant)) == []
    serve = TRT_PLAN.serve_command(any_variant)
    command = serve.command(
        python="py", bin_dir="/bin", tree="/tree", scratch="/s", host="127.0.0.1", port=81, model="demo"
    )
    assert broken(SERVE, command[1:]) == []


@given(variants().map(without_clashes))
def test_the_tool_takes_nothing_back(any_variant: ResolvedVariant) -> None:
    asked, config = built(any_variant)
    before, after = asked.pop("plugin_config"), config.pop("plugin_config")
    # Only the checkpoint says the architecture: what the tool takes back for one, the worker notices.
    fusions = {"reduce_fusion", "user_buffer", "norm_quant_fusion"}
    ignored = {"nccl_plugin"} | (fusions if before["pp_reduce_scatter"] else set())
    assert {name for name, value in after.items() if before[name] != value} <= ignored
    sizes = TRT_PLAN.build_job(any_variant).params.asked.sizes
    assert {name: config[name] for name in sizes} == sizes
    assert config["kv_cache_type"] == "PAGED"


@given(variants().map(without_clashes))
def test_documented_interactions_hold(any_variant: ResolvedVariant) -> None:
    flags = values(emitted(any_variant))
    assert ("--opt_num_tokens" in flags) == (flags["--multiple_profiles"] == "disable")
    assert (flags["--nccl_plugin"] == "disable") == (any_variant.devices == 1)
    algo = load_recipes()[any_variant.quantization.recipe].quant_algo
    if flags["--use_fp8_context_fmha"] == "enable":
        assert algo in ("FP8", "W4A8_AWQ", "NVFP4")
        assert any_variant.quantization.kv_cache == "fp8" or flags["--use_paged_context_fmha"] == "disable"
    if any_variant.quantization.kv_cache == "int8":
        assert flags["--use_paged_context_fmha"] == "disable"
    assert (algo == "NVFP4") == (flags["--gemm_plugin"] == "nvfp4") or flags["--gemm_plugin"] == "disable"
    assert flags["--logits_dtype"] == "float32"
    assert flags["--kv_cache_type"] == "paged"


@given(variants().map(without_clashes))
def test_placeholders_are_those_that_workers_and_servers_fill_in(any_variant: ResolvedVariant) -> None:
    job, serve = TRT_PLAN.build_job(any_variant), TRT_PLAN.serve_command(any_variant)
    assert set(re.findall(r"{\w+}", " ".join(job.commands[0].argv))) == PLACEHOLDERS["build"]
    assert set(re.findall(r"{\w+}", " ".join(serve.argv))) == PLACEHOLDERS["serve"]
    assert job.params.commands == job.commands
    assert job.params.serve == serve.model_dump(mode="json")


@pytest.mark.parametrize(
    ("what", "option", "said"),
    [
        ({"opt_num_tokens": 64}, "opt_num_tokens", "multiple_profiles: false"),
        ({"multiple_profiles": False, "opt_num_tokens": 9999}, "opt_num_tokens", "at most 256"),
        ({"tokens_per_block": 128, "shape": ONE_SHORT}, "tokens_per_block", "at most 32"),
        ({"recipe": "int4_awq", "use_paged_context_fmha": True}, "use_paged_context_fmha", "false"),
        ({"kv_cache": "none", "use_fp8_context_fmha": True}, "use_fp8_context_fmha", "KV cache in FP8"),
        ({"use_fp8_context_fmha": False}, "use_fp8_context_fmha", "true"),
        ({**PLAIN, "gemm_plugin": "fp8"}, "gemm_plugin", "recipe fp8"),
        ({"gemm_plugin": "nvfp4"}, "gemm_plugin", "recipe nvfp4"),
        ({"target": "b200", "recipe": "nvfp4", "gemm_plugin": "auto"}, "gemm_plugin", "nvfp4 or disable"),
        ({**AWQ, "use_fused_mlp": True}, "use_fused_mlp", "recipe none or fp8"),
        ({"target": "b200", "low_latency_gemm_plugin": "fp8"}, "low_latency_gemm_plugin", "10.0"),
        ({"target": "l40s", "gemm_swiglu_plugin": "fp8"}, "gemm_swiglu_plugin", "9.0"),
        ({"gemm_swiglu_plugin": "fp8", "use_fused_mlp": False}, "use_fused_mlp", "true"),
        ({**AWQ, "low_latency_gemm_plugin": "fp8"}, "low_latency_gemm_plugin", "fp8"),
        ({"reduce_fusion": True}, "reduce_fusion", "tensor_parallel 1"),
        ({"tensor_parallel": 2, "user_buffer": True}, "user_buffer", "reduce_fusion"),
        ({"gemm_allreduce_plugin": "bfloat16"}, "gemm_allreduce_plugin", "tensor_parallel 1"),
        ({"pp_reduce_scatter": True}, "pp_reduce_scatter", "pipeline_parallel 1"),
        ({"fuse_fp4_quant": True}, "fuse_fp4_quant", "recipe nvfp4"),
        ({"norm_quant_fusion": True}, "norm_quant_fusion", "recipe nvfp4"),
        ({**INT8, "enable_chunked_prefill": True}, "enable_chunked_prefill", "use_paged_context_fmha"),
        ({**INT8, "enable_block_reuse": True}, "enable_block_reuse", "use_paged_context_fmha"),
        ({**INT8, "host_cache_size": 1}, "host_cache_size", "share"),
        ({"enable_block_reuse": False, "host_cache_size": 1}, "host_cache_size", "share"),
        ({"llm_args": WINDOW, "enable_block_reuse": True}, "enable_block_reuse", "max_attention_window"),
        ({"llm_args": WINDOW, "max_beam_width": 2}, "max_beam_width", "beam search"),
    ],
)
def test_what_the_tool_would_take_back_is_refused(what: dict[str, Any], option: str, said: str) -> None:
    (clash,) = clashes(variant(**what))
    assert clash.option == option
    assert said in clash.accepted


def test_all_clashes_come_at_once_with_what_to_do() -> None:
    with pytest.raises(OptionsClash) as caught:
        TRT_PLAN.build_job(variant(opt_num_tokens=64, user_buffer=True, fuse_fp4_quant=True))
    assert all(name in str(caught.value) for name in ("opt_num_tokens", "user_buffer", "fuse_fp4_quant"))
    assert "derived" in caught.value.fix
    assert caught.value.exit_code == 2


def test_a_plan_reports_clashes_before_anything_runs() -> None:
    asked = variant(user_buffer=True)
    (problem,) = TRT_PLAN.option_problems(asked)
    assert problem.field == f"variants.{asked.name}.engine.options.user_buffer"
    assert (problem.found, TRT_PLAN.option_problems(variant())) == ("True", ())


def test_two_gpus_fp8_on_h100() -> None:
    shape = Shape(max_batch_size=64, max_input_len=4096, max_seq_len=8192, max_num_tokens=8192)
    flags = values(emitted(variant("h100-sxm", "fp8", "fp8", shape, 2)))
    expected = {
        "--max_batch_size": "64",
        "--max_input_len": "4096",
        "--max_seq_len": "8192",
        "--max_num_tokens": "8192",
        "--kv_cache_type": "paged",
        "--gemm_plugin": "disable",
        "--nccl_plugin": "auto",
        "--multiple_profiles": "enable",
        "--use_paged_context_fmha": "enable",
        "--use_fp8_context_fmha": "enable",
        "--use_fused_mlp": "enable",
        "--output_timing_cache": "timing.cache",
        "--workers": "2",
        "--log_level": "info",
    }
    assert {flag: flags[flag] for flag in expected} == expected


def test_weights_scaled_by_channel_need_a_plugin_and_their_own_layers() -> None:
    rowwise = values(emitted(variant("h200", "fp8_per_channel_per_token", "fp8")))
    assert rowwise["--fp8_rowwise_gemm_plugin"] == "auto"
    assert values(emitted(variant("h200", "fp8")))["--fp8_rowwise_gemm_plugin"] == "disable"


def test_a_searched_checkpoint_may_have_the_formats_of_its_candidates_in_each_layer() -> None:
    mixed = TRT_PLAN.build_job(variant("h200", "auto", "fp8")).params.checkpoint
    assert mixed.quant_algo == "MIXED_PRECISION"
    assert mixed.layer_quant_algos == ("FP8", "W4A16_AWQ", "W4A8_AWQ")
    assert TRT_PLAN.build_job(variant("h200", "fp8")).params.checkpoint.layer_quant_algos == ()


def test_int4_awq_on_l40s_and_nvfp4_on_b200() -> None:
    awq = values(emitted(variant("l40s", "int4_awq", "none")))
    assert (awq["--gemm_plugin"], awq["--use_fp8_context_fmha"], awq["--use_fused_mlp"]) == (
        "auto",
        "disable",
        "disable",
    )
    assert values(emitted(variant("b200", "nvfp4", "fp8")))["--gemm_plugin"] == "nvfp4"


def test_the_server_gets_the_engines_sizes_and_the_specs_choices() -> None:
    chosen = variant(tensor_parallel=2, kv_cache_free_gpu_memory_fraction=0.7, enable_chunked_prefill=True)
    serve = TRT_PLAN.serve_command(chosen)
    command = serve.command(
        python="py", bin_dir="/bin", tree="/tree", scratch="/s", host="127.0.0.1", port=81, model="demo"
    )
    flags = values(command[2:])
    assert command[:2] == ["/bin/trtllm-serve", "/tree"]
    assert (flags["--backend"], flags["--tokenizer"]) == ("tensorrt", "/tree")
    assert (flags["--extra_llm_api_options"], flags["--port"]) == ("/tree/llm_args.yaml", "81")
    # A key of the file replaces what the command line says, so the command line repeats none of it.
    own = {"--backend", "--tokenizer", "--host", "--port", "--log_level"}
    assert set(flags) == own | {"--extra_llm_api_options"}
    args = TRT_PLAN.build_job(chosen).params.llm_args
    assert (args["tensor_parallel_size"], args["pipeline_parallel_size"]) == (2, 1)
    assert (args["max_batch_size"], args["max_seq_len"], args["max_num_tokens"]) == (8, 192, 256)
    assert args["kv_cache_config"]["free_gpu_memory_fraction"] == 0.7
    assert args["enable_chunked_prefill"] is True
    assert args["extended_runtime_perf_knob_config"]["cuda_graph_mode"] is True
    assert (serve.toolchain, serve.ready_path) == ("tensorrt-llm-1.2", "/health")
    assert serve.generated_ids == "instead-of-text"


def test_tokens_that_no_iteration_can_hold_are_not_asked_for() -> None:
    shape = Shape(max_batch_size=2, max_input_len=64, max_seq_len=100, max_num_tokens=4096)
    assert values(emitted(variant(shape=shape)))["--max_num_tokens"] == "200"


def test_names_of_formats_are_those_of_the_tool() -> None:
    recipes = {load_recipes()[row.name].quant_algo for row in FACTS.recipes} - {None}
    caches = {load_kv_caches()[row.name].quant_algo for row in FACTS.kv_caches} - {None}
    assert recipes <= set(ENGINE["quant_algos"]["names"])
    assert caches <= set(ENGINE["kv_cache_quant_algos"]["names"])
    assert set(FACTS.architecture_names) <= set(ENGINE["architectures"]["names"])


@pytest.mark.parametrize("option", FACTS.options, ids=lambda row: row.name)
def test_every_option_is_a_flag_or_an_argument_of_the_tools_with_their_choices(option: KindOption) -> None:
    row = BUILD["flags"].get(f"--{option.name}") or ARGUMENTS.get(option.name)
    assert row is not None
    assert not row.get("decided_by")
    asked = {"enable", "disable"} if option.type == "bool" else set(option.choices)
    assert row["type"] == "flag" or "choices" not in row or asked <= set(row["choices"])


def test_what_is_read_back_is_what_an_engine_says() -> None:
    asked = TRT_PLAN.build_job(variant(multiple_profiles=False)).params.asked
    assert set(asked.sizes) <= set(INTERFACES["build-config"]["fields"])
    assert set(asked.features) <= set(INTERFACES["plugin-flags"])


def test_the_kind_is_known_by_its_name_and_ends() -> None:
    assert kind_named(KIND) is TRT_PLAN
    assert FACTS.export_format == "tensorrt-llm"
    assert FACTS.end_of_life is not None
    for one in ("trtllm-torch", "TensorRT Edge-LLM", "TensorRT-Model-Connect"):
        assert one in FACTS.end_of_life.instead


def test_a_job_holds_what_changes_the_engine_and_nothing_else() -> None:
    one = variant()
    renamed = one.model_copy(update={"name": "other", "required": False})
    assert TRT_PLAN.build_job(renamed) == TRT_PLAN.build_job(one)
    assert TRT_PLAN.build_job(variant(workers=2)) != TRT_PLAN.build_job(one)
    assert TRT_PLAN.build_job(variant(workers=1)) == TRT_PLAN.build_job(one)
