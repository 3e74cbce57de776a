"""The settings of trtllm-build for one variant: every setting is decided here, none is left to the tool.

Invariants:
- The tool overrides settings that do not go together, with no more than a warning, and shrinks sizes that
  cannot be reached. What it would override is therefore refused here (`clashes`), and what it would shrink is
  requested at the size that it would choose: afterwards, the engine's config.json has to match the request.
- Sizes are tokens, sequences or devices, as in the variant's shape.

The rules are those of `build()` and `check_max_num_tokens` of TensorRT-LLM (tensorrt_llm/builder.py at commit
008b2b8d, tensorrt_llm/commands/build.py at commit 65f1d153).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kv_caches, load_recipes

FP8_ATTENTION = ("FP8", "W4A8_AWQ", "NVFP4")
FUSED_MLP = (None, "FP8")
FP8_KERNELS = ("gemm_swiglu_plugin", "low_latency_gemm_plugin", "low_latency_gemm_swiglu_plugin")
SWIGLU_KERNELS = ("gemm_swiglu_plugin", "low_latency_gemm_swiglu_plugin")


@dataclass(frozen=True, slots=True)
class Clash:
    """An option that the tool would refuse or override: its name, its value, and what is accepted."""

    option: str
    found: object
    accepted: str

    def __str__(self) -> str:
        return f"{self.option}: found {self.found}; {self.accepted}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of trtllm-build that follow from a variant."""

    variant: ResolvedVariant

    def option(self, name: str) -> Any:
        """Return what the spec chose, or the kind's default; None if it is derived here."""
        return self.variant.engine.options[name]

    @property
    def quant_algo(self) -> str | None:
        """TensorRT-LLM's name for the format of the weights; None if they are not quantized."""
        return load_recipes()[self.variant.quantization.recipe].quant_algo

    @property
    def kv_algo(self) -> str | None:
        """TensorRT-LLM's name for the format of keys and values; None if they are not quantized."""
        return load_kv_caches()[self.variant.quantization.kv_cache].quant_algo

    @property
    def compute_capability(self) -> tuple[int, int]:
        """The compute capability of the target, such as (9, 0)."""
        major, minor = (self.variant.target.compute_capability or "0.0").split(".")
        return int(major), int(minor)

    @property
    def max_num_tokens(self) -> int:
        """Tokens of one iteration; at most as many as all sequences together can have."""
        shape = self.variant.shape
        return min(shape.max_num_tokens, shape.max_batch_size * shape.max_seq_len)

    @property
    def opt_num_tokens(self) -> int | None:
        """Tokens that the single profile is tuned for; None if there are several profiles."""
        if self.option("multiple_profiles"):
            return None
        tuned: int | None = self.option("opt_num_tokens")
        every_sequence = self.variant.shape.max_batch_size * int(self.option("max_beam_width"))
        return min(every_sequence, self.max_num_tokens) if tuned is None else tuned

    @property
    def workers(self) -> int:
        """Ranks that are built at the same time; a job holds as many GPUs as its engine."""
        return self.option("workers") or self.variant.devices

    @property
    def gemm_plugin(self) -> str:
        """Kernels of the matrix products that the recipe does not decide."""
        chosen: str | None = self.option("gemm_plugin")
        return chosen or {"NVFP4": "nvfp4", "FP8": "disable"}.get(self.quant_algo or "", "auto")

    @property
    def paged_context_fmha(self) -> bool:
        """Whether attention over prompts reads the paged KV cache."""
        chosen: bool | None = self.option("use_paged_context_fmha")
        return self.paged_context_possible if chosen is None else chosen

    @property
    def paged_context_possible(self) -> bool:
        """Whether the attention kernels can read this KV cache in pages."""
        fp8_cache_without_fp8 = self.kv_algo == "FP8" and not self.fp8_attention_possible
        return bool(self.option("context_fmha")) and self.kv_algo != "INT8" and not fp8_cache_without_fp8

    @property
    def fp8_attention_possible(self) -> bool:
        """Whether there are attention kernels in FP8 for the recipe and the GPU."""
        return self.quant_algo in FP8_ATTENTION and self.compute_capability >= (8, 9)

    @property
    def fp8_context_fmha(self) -> bool:
        """Whether attention over prompts is computed in FP8."""
        chosen: bool | None = self.option("use_fp8_context_fmha")
        return self.fp8_context_possible if chosen is None else chosen

    @property
    def fp8_context_possible(self) -> bool:
        """Whether it can be: of paged KV caches, only those in FP8 are read."""
        pages_fit = self.kv_algo == "FP8" or not self.paged_context_fmha
        return bool(self.option("context_fmha")) and self.fp8_attention_possible and pages_fit

    @property
    def fused_mlp(self) -> bool:
        """Whether a gated MLP is computed as one matrix product."""
        chosen: bool | None = self.option("use_fused_mlp")
        return self.quant_algo in FUSED_MLP if chosen is None else chosen

    @property
    def attention_window(self) -> Any:
        """Tokens that layers look back to, as the spec passes them to the server; None: all of them."""
        return (self.variant.engine.llm_args.get("kv_cache_config") or {}).get("max_attention_window")

    @property
    def block_reuse(self) -> bool:
        """Whether requests with equal prefixes share blocks of the KV cache."""
        chosen: bool | None = self.option("enable_block_reuse")
        return self.block_reuse_possible if chosen is None else chosen

    @property
    def block_reuse_possible(self) -> bool:
        """Whether they can: attention over prompts has to read pages; with windows it is not established."""
        return self.paged_context_fmha and self.attention_window is None

    @property
    def swiglu_kernel(self) -> bool:
        """Whether a fused kernel for gated MLPs was chosen."""
        return any(self.option(name) != "disable" for name in SWIGLU_KERNELS)


def clashes(variant: ResolvedVariant) -> tuple[Clash, ...]:
    """Return every option of a variant that its other settings rule out."""
    settings = Settings(variant)
    return (
        *_sizes(settings),
        *_attention(settings),
        *_matrix_products(settings),
        *_fp8_kernels(settings),
        *_several_devices(settings),
        *_fp4(settings),
        *_serving(settings),
    )


def _sizes(s: Settings) -> Iterator[Clash]:
    tuned = s.option("opt_num_tokens")
    if s.option("multiple_profiles") and tuned is not None:
        yield Clash(
            "opt_num_tokens", tuned, "nothing, or multiple_profiles: false: the tool takes one of them"
        )
    elif tuned is not None and tuned > s.max_num_tokens:
        yield Clash("opt_num_tokens", tuned, f"at most {s.max_num_tokens}, the tokens of an iteration")
    block = s.option("tokens_per_block")
    if s.max_num_tokens < block:
        accepted = (
            f"at most {s.max_num_tokens}, or a shape with more tokens in an iteration: a block fits into one"
        )
        yield Clash("tokens_per_block", block, accepted)


def _attention(s: Settings) -> Iterator[Clash]:
    if s.paged_context_fmha and not s.paged_context_possible:
        accepted = "false, with this KV cache, recipe and context_fmha"
        yield Clash("use_paged_context_fmha", True, accepted)
    if s.fp8_context_fmha and not s.fp8_context_possible:
        accepted = (
            "false: it takes recipe fp8, w4a8_awq or nvfp4, context_fmha, and a KV cache in FP8 or no pages"
        )
        yield Clash("use_fp8_context_fmha", True, accepted)
    if s.paged_context_fmha and s.fp8_context_possible and s.kv_algo == "FP8" and not s.fp8_context_fmha:
        yield Clash("use_fp8_context_fmha", False, "true: pages of FP8 are read in FP8 only")


def _matrix_products(s: Settings) -> Iterator[Clash]:
    chosen = s.gemm_plugin
    if chosen == "fp8" and s.quant_algo != "FP8":
        yield Clash("gemm_plugin", chosen, "anything else: it takes recipe fp8")
    if chosen == "nvfp4" and s.quant_algo != "NVFP4":
        yield Clash("gemm_plugin", chosen, "anything else: it takes recipe nvfp4")
    if s.quant_algo == "NVFP4" and chosen not in ("nvfp4", "disable"):
        yield Clash("gemm_plugin", chosen, "nvfp4 or disable: with recipe nvfp4 the tool uses no other")
    if s.fused_mlp and s.quant_algo not in FUSED_MLP:
        yield Clash("use_fused_mlp", True, "false: it takes recipe none or fp8")


def _fp8_kernels(s: Settings) -> Iterator[Clash]:
    for name in FP8_KERNELS:
        chosen = s.option(name)
        if chosen == "disable":
            continue
        if s.quant_algo != "FP8":
            yield Clash(name, chosen, "disable: it takes recipe fp8")
        if s.compute_capability == (10, 0):
            yield Clash(name, chosen, "disable: not on compute capability 10.0")
    if s.option("gemm_swiglu_plugin") != "disable" and s.compute_capability != (9, 0):
        accepted = "disable: its kernel is for compute capability 9.0"
        yield Clash("gemm_swiglu_plugin", s.option("gemm_swiglu_plugin"), accepted)
    if s.swiglu_kernel and not s.fused_mlp:
        yield Clash("use_fused_mlp", False, "true, with a kernel for gated MLPs")


def _several_devices(s: Settings) -> Iterator[Clash]:
    alone = s.variant.tensor_parallel == 1
    if s.option("reduce_fusion") and alone:
        yield Clash("reduce_fusion", True, "false, with tensor_parallel 1")
    if s.option("user_buffer") and not (s.option("reduce_fusion") and s.quant_algo == "FP8"):
        yield Clash("user_buffer", True, "false: it takes reduce_fusion and recipe fp8")
    if s.option("gemm_allreduce_plugin") != "disable" and alone:
        yield Clash(
            "gemm_allreduce_plugin", s.option("gemm_allreduce_plugin"), "disable, with tensor_parallel 1"
        )
    if s.option("pp_reduce_scatter") and s.variant.pipeline_parallel == 1:
        yield Clash("pp_reduce_scatter", True, "false, with pipeline_parallel 1")


def _fp4(s: Settings) -> Iterator[Clash]:
    if s.option("fuse_fp4_quant") and s.quant_algo != "NVFP4":
        yield Clash("fuse_fp4_quant", True, "false: it takes recipe nvfp4")
    if s.option("norm_quant_fusion") and (s.quant_algo != "NVFP4" or s.option("reduce_fusion")):
        yield Clash("norm_quant_fusion", True, "false: it takes recipe nvfp4, and no reduce_fusion")


def _serving(s: Settings) -> Iterator[Clash]:
    """Rules of docs/source/legacy/advanced/{kv-cache-reuse,gpt-attention}.md."""
    if s.block_reuse and not s.block_reuse_possible:
        accepted = "false: it needs use_paged_context_fmha, and no max_attention_window"
        yield Clash("enable_block_reuse", True, accepted)
    host = s.option("host_cache_size")
    if host is not None and not s.block_reuse:
        yield Clash("host_cache_size", host, "nothing: only blocks that requests share move to the host")
    if s.attention_window is not None and s.option("max_beam_width") > 1:
        accepted = "1, with max_attention_window: its cache works without beam search only"
        yield Clash("max_beam_width", s.option("max_beam_width"), accepted)
    if s.option("enable_chunked_prefill") and not s.paged_context_fmha:
        yield Clash("enable_chunked_prefill", True, "false: a prompt in pieces needs use_paged_context_fmha")
