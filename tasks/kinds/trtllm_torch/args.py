"""The arguments of TensorRT-LLM 1.4's LLM class for a variant: `llm_args.yaml` of a trtllm-torch engine.

The file names the arguments that a spec can choose, and those that have to be as they are for an engine to be
what its spec says; arguments that neither a spec nor its `llm_args` names have the tool's defaults. Model,
tokenizer, host and port are on the command line.

Names and types: `engine_specs/data/llm_args/trtllm-torch.yaml`.
"""

from engine_specs.spec import ResolvedVariant
from tasks.kinds.llm_args import Decided, option_args, shape_args
from tasks.kinds.speculation import trtllm_args

# The tool's name for each of our KV cache formats. With auto, the checkpoint's own metadata decides, and
# without a quantized cache keys and values are stored as they are computed.
KV_CACHE_DTYPES = {"none": "auto", "fp8": "fp8", "nvfp4": "nvfp4"}


def decided_args(variant: ResolvedVariant) -> dict[str, Decided]:
    """Return the arguments that the spec decides, by path; null switches a section off."""
    return {
        "dtype": Decided("auto", "the checkpoint"),
        "trust_remote_code": Decided(False, "the kind"),
        "tensor_parallel_size": Decided(variant.layer_devices, _tensor(variant)),
        "pipeline_parallel_size": Decided(variant.pipeline_parallel, "pipeline_parallel"),
        **shape_args(variant, "max_batch_size", "max_input_len", "max_seq_len", "max_num_tokens"),
        "max_beam_width": Decided(1, "the kind"),
        **option_args(
            variant,
            "",
            "attn_backend",
            "allreduce_strategy",
            "enable_chunked_prefill",
            "stream_interval",
        ),
        "disable_overlap_scheduler": _overlap(variant),
        # Its measurements are the third part of the engine: without it there would be none to keep.
        "enable_autotuner": Decided(True, "the kind"),
        "kv_cache_config.dtype": Decided(
            KV_CACHE_DTYPES[variant.quantization.kv_cache], "quantization.kv_cache"
        ),
        **option_args(
            variant, "kv_cache_config", "enable_block_reuse", "free_gpu_memory_fraction", "tokens_per_block"
        ),
        **option_args(variant, "scheduler_config", "capacity_scheduler_policy"),
        "moe_config.backend": Decided(variant.engine.options["moe_backend"], "engine.options.moe_backend"),
        **_experts(variant),
        **_cuda_graph(variant),
        **_torch_compile(variant),
        **trtllm_args(variant),
    }


def _tensor(variant: ResolvedVariant) -> str:
    return "tensor_parallel" if variant.data_parallel == 1 else "data_parallel"


def _experts(variant: ResolvedVariant) -> dict[str, Decided]:
    """Return how experts and attention are spread; nothing if both are divided by tensor parallelism.

    The tool's tensor parallelism is over all devices of a layer, also if each has attention of its own.
    """
    devices, groups, copies = variant.layer_devices, variant.expert_parallel, variant.data_parallel
    if groups == copies == 1:
        return {}
    return {
        "moe_expert_parallel_size": Decided(groups, "expert_parallel"),
        "moe_tensor_parallel_size": Decided(devices // groups, "expert_parallel"),
        "enable_attention_dp": Decided(copies > 1, "data_parallel"),
    }


def _overlap(variant: ResolvedVariant) -> Decided:
    """Return whether nothing overlaps: drafts of n-grams are found on the host, between iterations.

    TensorRT-LLM switches it off itself, with a warning (tensorrt_llm/_torch/speculative/interface.py at
    00b6d5a25c30b4382d24fbdf52956d601b3ffd24, support_overlap_scheduler).
    """
    if variant.speculative is not None and variant.speculative.method == "ngram":
        return Decided(True, "speculative.method")
    return option_args(variant, "", "disable_overlap_scheduler")["disable_overlap_scheduler"]


def _cuda_graph(variant: ResolvedVariant) -> dict[str, Decided]:
    """Return the settings of CUDA graphs, up to the largest batch; the tool chooses the sizes below."""
    options, by = variant.engine.options, "engine.options.cuda_graph"
    if not options["cuda_graph"]:
        return {"cuda_graph_config": Decided(None, by)}
    padding = Decided(options["cuda_graph_padding"], f"{by}_padding")
    largest = Decided(variant.shape.max_batch_size, "shape.max_batch_size")
    return {"cuda_graph_config.enable_padding": padding, "cuda_graph_config.max_batch_size": largest}


def _torch_compile(variant: ResolvedVariant) -> dict[str, Decided]:
    by = "engine.options.torch_compile"
    if not variant.engine.options["torch_compile"]:
        return {"torch_compile_config": Decided(None, by)}
    settings = {
        "enable_fullgraph": True,
        "enable_inductor": False,
        "enable_userbuffers": True,
        "max_num_streams": 3,
    }
    return {f"torch_compile_config.{name}": Decided(value, by) for name, value in settings.items()}
