"""What trtllm-build of TensorRT-LLM 1.2 refuses, and what it takes back with a warning. In place, as there.

Rules and order of `main`, `build_model` (tensorrt_llm/commands/build.py, commit 65f1d153), `validate`
(tensorrt_llm/plugin/plugin.py, PR 8277), `build` and `check_max_num_tokens` (tensorrt_llm/builder.py, commit
008b2b8d). Standard library only.
"""

import argparse
from typing import Any

Config = dict[str, Any]
FP8_ATTENTION = ("FP8", "W4A8_AWQ", "NVFP4")
INTEGER_WEIGHTS = ("W8A16", "W4A16", "W4A16_AWQ", "W4A8_AWQ", "W8A16_GPTQ", "W4A16_GPTQ")
REDUCE_FUSION = ("LlamaForCausalLM", "Gemma2ForCausalLM", "MedusaForCausalLM")
NOT_ON_SM100 = (
    "gemm_swiglu_plugin",
    "fp8_rowwise_gemm_plugin",
    "low_latency_gemm_plugin",
    "low_latency_gemm_swiglu_plugin",
    "bert_context_fmha_fp32_acc",
)


def apply_rules(build: Config, model: Config, sm: int, args: argparse.Namespace) -> None:
    """Refuse, or change `build`, as the real program does.

    Args:
        build: BuildConfig, with plugin_config.
        model: the checkpoint's config.
        sm: compute capability of the GPU, such as 90.
        args: the flags.
    """
    plugins = build["plugin_config"]
    _refuse(build, plugins, model, sm, args)
    _sizes(build, plugins)
    _fusions(plugins, model)
    _attention(plugins, model, sm)
    _integers(model, sm)
    if model["quantization"]["quant_algo"] == "NVFP4" and args.gemm_plugin != "disable":
        plugins["gemm_plugin"] = "nvfp4"
    if model["mapping"]["world_size"] == 1:
        plugins["nccl_plugin"] = None
    build["kv_cache_type"] = (args.kv_cache_type or "paged").upper()


def read_model(config: dict[str, Any], model_files: dict[str, Any]) -> None:
    """Fail where the model file of an architecture would: at a key without a default, or an unknown name."""
    known = model_files["quantization_keys"]["names"]
    if unknown := sorted(set(config["quantization"]) - set(known)):
        raise TypeError(f"QuantConfig.__init__() got an unexpected keyword argument '{unknown[0]}'")
    scaling = config.get("rotary_scaling")
    if scaling is not None:
        named = scaling.get("type", scaling.get("rope_type"))
        if named not in model_files["rotary_scalings"]["names"]:
            raise ValueError(f"Unsupported rotary scaling type: {named}")
    (row,) = [one for one in model_files["model_files"] if config["architecture"] in one["architectures"]]
    for key in row.get("required", ()):
        if key.split(".")[0] not in config:
            raise AttributeError(f"'{row['config_class']}' object has no attribute '{key}'")


def _refuse(build: Config, plugins: Config, model: Config, sm: int, args: argparse.Namespace) -> None:
    if args.gather_context_logits and args.max_draft_len > 0:
        raise RuntimeError("Gather context logits is not support with draft len > 0.")
    if sm == 100:
        for name in NOT_ON_SM100:
            if plugins.get(name):
                raise NotImplementedError(f"{name}={plugins[name]} is not supported on SM {sm}.")
    if plugins["multiple_profiles"] and build["opt_num_tokens"] is not None:
        raise RuntimeError("multiple_profiles is enabled, while opt_num_tokens is set.")
    assert not plugins["streamingllm"], "StreamingLLM is no longer supported"
    only_mixtral = "PP reduce scatter is only supported in the mixtral model."
    assert not plugins["pp_reduce_scatter"] or model["architecture"] == "MixtralForCausalLM", only_mixtral
    swiglu = plugins["gemm_swiglu_plugin"] or plugins["low_latency_gemm_swiglu_plugin"]
    if swiglu and not plugins["use_fused_mlp"]:
        raise RuntimeError("GemmSwiGLU plugin requires --use_fused_mlp flag")


def _sizes(build: Config, plugins: Config) -> None:
    if build["max_seq_len"] is None:
        raise RuntimeError("the stand-in does not deduce max_seq_len: give it")
    build["max_input_len"] = min(build["max_input_len"], build["max_seq_len"])
    every_sequence = build["max_batch_size"] * build["max_seq_len"]
    tokens, tuned = build["max_num_tokens"], build["opt_num_tokens"]
    if not plugins["remove_input_padding"]:
        build["max_num_tokens"] = every_sequence
        return
    if tuned is None and not plugins["multiple_profiles"]:
        tuned = min(build["max_batch_size"] * build["max_beam_width"], tokens)
    tokens = min(tokens, every_sequence)
    if tokens < build["max_input_len"] and not plugins["context_fmha"]:
        tokens = build["max_input_len"]
    elif tokens < plugins["tokens_per_block"] and plugins["context_fmha"]:
        tokens = plugins["tokens_per_block"]
    build["max_num_tokens"] = tokens
    build["opt_num_tokens"] = None if tuned is None else min(tuned, tokens)


def _fusions(plugins: Config, model: Config) -> None:
    architecture, algo = model["architecture"], model["quantization"]["quant_algo"]
    if model["mapping"]["tp_size"] == 1 or architecture not in REDUCE_FUSION:
        plugins["reduce_fusion"] = False
    if not plugins["reduce_fusion"]:
        plugins["user_buffer"] = False
    if plugins["reduce_fusion"] or architecture != "LlamaForCausalLM" or algo != "NVFP4":
        plugins["norm_quant_fusion"] = False


def _attention(plugins: Config, model: Config, sm: int) -> None:
    quantization = model["quantization"]
    fp8_cache = quantization["kv_cache_quant_algo"] == "FP8"
    if not plugins["context_fmha"]:
        plugins["use_fp8_context_fmha"] = plugins["use_paged_context_fmha"] = False
    elif quantization["quant_algo"] not in FP8_ATTENTION or sm < 89:
        plugins["use_fp8_context_fmha"] = False
        if fp8_cache:
            plugins["use_paged_context_fmha"] = False
    elif plugins["use_paged_context_fmha"]:
        plugins["use_fp8_context_fmha"] = fp8_cache
    if quantization["kv_cache_quant_algo"] == "INT8":
        plugins["use_paged_context_fmha"] = False


def _integers(model: Config, sm: int) -> None:
    quantization = model["quantization"]
    if not 100 <= sm < 120:
        return
    layers = quantization.get("quantized_layers", {}).values()
    algos = {quantization["quant_algo"], *(layer["quant_algo"] for layer in layers)}
    if algos & set(INTEGER_WEIGHTS) or quantization["kv_cache_quant_algo"] == "INT8":
        raise RuntimeError("INT8/INT4 quantization is not supported on SM>=100.")
    if any(str(algo).startswith("W8A8_SQ") for algo in algos):
        raise RuntimeError("SmoothQuant is not supported on SM>=100.")
    if "FP8_PER_CHANNEL_PER_TOKEN" in algos:
        raise RuntimeError("Per-channel or per-token scaling is not supported on SM>=100.")
