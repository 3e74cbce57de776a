"""The arguments of TensorRT-LLM's LLM class for a variant: `llm_args.yaml` of a trtllm-torch engine.

The file names every argument that decides how a decoder is loaded, scheduled or computed, even if it is the
tool's default: a default that changes with the version never changes an engine unnoticed. Model, tokenizer,
backend, host and port are on the command line.

Names and types: TorchLlmArgs in tensorrt_llm/llmapi/llm_args.py of NVIDIA/TensorRT-LLM at
0004396720054fd8e205cbf616f21f0b57c6b412 (after 1.3.0rc24), whose models refuse unknown keys; the
documentation of 1.4.0rc1 has the same names wherever it could be compared.
"""

from typing import Any

from engine_specs.spec import ResolvedVariant

# The tool's name for each of our KV cache formats. With auto, the checkpoint's own metadata decides, and
# without a quantized cache keys and values are stored as they are computed.
KV_CACHE_DTYPES = {"none": "auto", "fp8": "fp8"}


def llm_args(variant: ResolvedVariant) -> dict[str, Any]:
    """Return all arguments by name; nested settings are dictionaries, and null switches one off."""
    options, shape = variant.engine.options, variant.shape
    return {
        "dtype": "auto",
        "trust_remote_code": False,
        "tensor_parallel_size": variant.tensor_parallel,
        "pipeline_parallel_size": variant.pipeline_parallel,
        "max_batch_size": shape.max_batch_size,
        "max_input_len": shape.max_input_len,
        "max_seq_len": shape.max_seq_len,
        "max_num_tokens": shape.max_num_tokens,
        "max_beam_width": 1,
        "attn_backend": options["attn_backend"],
        "allreduce_strategy": options["allreduce_strategy"],
        "enable_chunked_prefill": options["enable_chunked_prefill"],
        "disable_overlap_scheduler": options["disable_overlap_scheduler"],
        "stream_interval": options["stream_interval"],
        # Its measurements are the third part of the engine: without it there would be none to keep.
        "enable_autotuner": True,
        "kv_cache_config": _kv_cache(variant),
        "scheduler_config": {"capacity_scheduler_policy": options["capacity_scheduler_policy"]},
        "moe_config": {"backend": options["moe_backend"]},
        "cuda_graph_config": _cuda_graph(variant),
        "torch_compile_config": _torch_compile(variant),
    }


def _kv_cache(variant: ResolvedVariant) -> dict[str, Any]:
    options = variant.engine.options
    return {
        "dtype": KV_CACHE_DTYPES[variant.quantization.kv_cache],
        "enable_block_reuse": options["enable_block_reuse"],
        "free_gpu_memory_fraction": options["free_gpu_memory_fraction"],
        "tokens_per_block": options["tokens_per_block"],
    }


def _cuda_graph(variant: ResolvedVariant) -> dict[str, Any] | None:
    """Return the settings of CUDA graphs, up to the largest batch; the tool chooses the sizes below."""
    options = variant.engine.options
    if not options["cuda_graph"]:
        return None
    return {
        "enable_padding": options["cuda_graph_padding"],
        "max_batch_size": variant.shape.max_batch_size,
    }


def _torch_compile(variant: ResolvedVariant) -> dict[str, Any] | None:
    if not variant.engine.options["torch_compile"]:
        return None
    return {
        "enable_fullgraph": True,
        "enable_inductor": False,
        "enable_userbuffers": True,
        "max_num_streams": 3,
    }
