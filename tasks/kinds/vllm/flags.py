"""The flags of vLLM's server: those that every server of ours gets, and those of single settings.

Whatever else decides its speed, above all the size of batches, stays at vLLM's own default.

Flags are those of vllm/engine/arg_utils.py and vllm/entrypoints/launchers/cli_args.py of vLLM 0.32.0, one
version for both toolchains; 0.26.0 has the same ones.
"""

from collections.abc import Mapping
from typing import Any

from engine_specs.spec import ResolvedVariant
from engine_specs.tables import Accelerator
from tasks.errors import UnknownSetting

TOOLCHAINS: Mapping[Accelerator, str] = {"cpu": "vllm-cpu", "cuda": "vllm-cuda"}
# vLLM's name for every recipe of ours: hf_quant_config.json says which format ModelOpt exported, and vLLM
# replaces this name by that of the format's own loader (vllm/config/model.py, _verify_quantization).
# A ready-made checkpoint gets no name: vLLM reads the method from its files as well.
QUANTIZATION = "modelopt"
# vLLM's names for formats of the KV cache.
KV_CACHE_DTYPES = {"none": "auto", "fp8": "fp8", "nvfp4": "nvfp4"}
# vLLM's flags for settings, by the names of its engine arguments. A flag that is a switch has two forms.
VALUES = {
    "dtype": "--dtype",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "block_size": "--block-size",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "optimization_level": "--optimization-level",
    "cudagraph_mode": "--compilation-config.cudagraph_mode",
    "fuse_allreduce_rms": "--compilation-config.pass_config.fuse_allreduce_rms",
    "fuse_attn_quant": "--compilation-config.pass_config.fuse_attn_quant",
    "eliminate_noops": "--compilation-config.pass_config.eliminate_noops",
    "max_cudagraph_capture_size": "--max-cudagraph-capture-size",
    "attention_backend": "--attention-backend",
    "stream_interval": "--stream-interval",
    "performance_mode": "--performance-mode",
    "speculative_method": "--speculative-config.method",
    "speculative_tokens": "--speculative-config.num_speculative_tokens",
    "speculative_model": "--speculative-config.model",
}
SWITCHES = {
    "enforce_eager": ("--enforce-eager", "--no-enforce-eager"),
    "enable_prefix_caching": ("--enable-prefix-caching", "--no-enable-prefix-caching"),
    "enable_chunked_prefill": ("--enable-chunked-prefill", "--no-enable-chunked-prefill"),
    "async_scheduling": ("--async-scheduling", "--no-async-scheduling"),
}


def server_flags(variant: ResolvedVariant, settings: Mapping[str, Any]) -> list[str]:
    """Return the flags of a server within the variant's shape, with these settings.

    Raises:
        UnknownSetting: a setting has no flag here.
    """
    # By default, vLLM keeps room for sequences as long as the model allows, which may be more than a GPU has.
    # Shorter ones cost no speed.
    flags = ["--max-model-len", str(variant.shape.max_seq_len)]
    # Otherwise, the time to write a log line would be part of every request.
    flags += ["--disable-uvicorn-access-log"]
    # Otherwise, vLLM would apply the checkpoint's generation_config.json (penalties, temperature, top-p) to
    # every request that does not name them, even to greedy ones; engines do not read it.
    flags += ["--generation-config", "vllm"]
    flags += _parallelism(variant)
    return flags + [part for name, value in settings.items() for part in flags_of(name, value)]


def flags_of(name: str, value: object) -> list[str]:
    """Return the flags for one setting.

    Raises:
        UnknownSetting: there is none.
    """
    if name in VALUES:
        return [VALUES[name], str(value)]
    if name in SWITCHES:
        on, off = SWITCHES[name]
        return [on if value else off]
    raise UnknownSetting(
        f"the vLLM setting {name} has no flag here",
        where="validation.reference.configurations",
        fix=f"use one of: {', '.join(sorted([*VALUES, *SWITCHES]))}",
    )


def _parallelism(variant: ResolvedVariant) -> list[str]:
    """Return the flags that divide the model between GPUs; none on a CPU.

    vLLM divides experts by all devices of a layer, or spreads whole ones: there is nothing in between.
    """
    if variant.target.accelerator == "cpu":
        return []
    tensor, pipeline = str(variant.tensor_parallel), str(variant.pipeline_parallel)
    flags = ["--tensor-parallel-size", tensor, "--pipeline-parallel-size", pipeline]
    if variant.data_parallel > 1:
        flags += ["--data-parallel-size", str(variant.data_parallel)]
    return [*flags, "--enable-expert-parallel"] if variant.expert_parallel > 1 else flags
