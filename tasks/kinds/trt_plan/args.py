"""The arguments of TensorRT-LLM 1.2's LLM class for a plan: `llm_args.yaml`, which its server is given.

A key of this file replaces what the command line says of it, with all that is nested in it
(`update_llm_args_with_extra_dict` in tensorrt_llm/llmapi/llm_args.py): so whatever decides how an engine is
scheduled and cached is in the file, and the command line has none of it.
"""

from tasks.kinds.llm_args import Decided, option_args, shape_args
from tasks.kinds.trt_plan.settings import Settings

# What trtllm-serve itself sets if no file replaces it (tensorrt_llm/commands/serve.py, get_llm_args).
TUNED_BATCH = {
    "enable_batch_size_tuning": True,
    "enable_max_num_tokens_tuning": False,
    "dynamic_batch_moving_average_window": 128,
}


def decided_args(settings: Settings) -> dict[str, Decided]:
    """Return the arguments that the spec decides, by path."""
    variant = settings.variant
    return {
        "trust_remote_code": Decided(False, "the kind"),
        "tensor_parallel_size": Decided(variant.tensor_parallel, "tensor_parallel"),
        "pipeline_parallel_size": Decided(variant.pipeline_parallel, "pipeline_parallel"),
        **shape_args(variant, "max_batch_size", "max_input_len", "max_seq_len"),
        "max_num_tokens": Decided(settings.max_num_tokens, "shape.max_num_tokens"),
        **option_args(variant, "", "max_beam_width", "enable_chunked_prefill", "num_postprocess_workers"),
        **_kv_cache(settings),
        **option_args(variant, "scheduler_config", "capacity_scheduler_policy"),
        **{
            f"scheduler_config.dynamic_batch_config.{name}": Decided(value, "the kind, as the server itself")
            for name, value in TUNED_BATCH.items()
        },
        **option_args(
            variant,
            "extended_runtime_perf_knob_config",
            "cuda_graph_mode",
            "cuda_graph_cache_size",
            "multi_block_mode",
        ),
    }


def _kv_cache(settings: Settings) -> dict[str, Decided]:
    share, reuse = "kv_cache_free_gpu_memory_fraction", "enable_block_reuse"
    return {
        "kv_cache_config.free_gpu_memory_fraction": Decided(
            settings.option(share), f"engine.options.{share}"
        ),
        "kv_cache_config.enable_block_reuse": Decided(settings.block_reuse, f"engine.options.{reuse}"),
        **option_args(settings.variant, "kv_cache_config", "host_cache_size"),
    }
