"""Kind trt-plan: trtllm-build of TensorRT-LLM 1.2 makes one TensorRT plan per rank; trtllm-serve serves them.

Invariants:
- The command names every flag that concerns a decoder-only transformer, even if its value is the tool's
  default: a default that changes with the version never changes an engine unnoticed.
- Only flags that 1.2.1 is known to have are used; for `trtllm-serve`, only flags that the versions before and
  after it have in common.
"""

from dataclasses import dataclass
from typing import Any

from artifacts.hosts import ServeCommand
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds, load_model_files, load_recipes
from tasks.errors import OptionsClash
from tasks.kinds.kind import JobPlan
from tasks.kinds.llm_args import passed_problems, unchecked_args, whole_args
from tasks.kinds.trt_plan.args import decided_args
from tasks.kinds.trt_plan.settings import Settings, clashes
from tasks.kinds.trtllm_bench import benchmark
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.trt_plan.request import (
    Asked,
    ConfigReads,
    Target,
    Tool,
    TrtPlanAdmission,
    TrtPlanParams,
    WantedCheckpoint,
)

WORKER = "tasks.workers.trt_plan.build"
TOOL_LINE = "1.2"
# The server answers under the name of its directory and ignores the name in requests
# (tensorrt_llm/serve/openai_server.py at commit 00057725 and, of the 1.2 line, of January 2026).
SERVED_MODEL = "model"
ARGS_FILE = "llm_args.yaml"
# Weights scaled by output channel, activations by token: the builder's layers need a plugin of their own.
ROWWISE = "FP8_PER_CHANNEL_PER_TOKEN"
CHOSEN_FEATURES = (
    "context_fmha",
    "fuse_fp4_quant",
    "multiple_profiles",
    "norm_quant_fusion",
    "pp_reduce_scatter",
    "reduce_fusion",
    "user_buffer",
)
CHOSEN_KERNELS = (
    "gpt_attention_plugin",
    "moe_plugin",
    "gemm_swiglu_plugin",
    "low_latency_gemm_plugin",
    "low_latency_gemm_swiglu_plugin",
    "gemm_allreduce_plugin",
)


@dataclass(frozen=True, slots=True)
class TrtPlan:
    """The kind trt-plan; its facts (architectures, recipes, options) are data."""

    name: str = "trt-plan"

    def option_problems(self, variant: ResolvedVariant) -> tuple[Problem, ...]:
        """Return the options that the tool would refuse, or silently override."""
        where = f"variants.{variant.name}.engine.options"
        clashing = (
            Problem(f"{where}.{clash.option}", str(clash.found), clash.accepted) for clash in clashes(variant)
        )
        return (*clashing, *passed_problems(variant, decided_args(Settings(variant))))

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that builds this variant.

        Raises:
            OptionsClash: the tool would refuse the options, or silently override them.
        """
        _require_possible(variant)
        command = build_command(variant)
        return JobPlan(
            toolchain=load_kinds()[self.name].toolchains.build[variant.target.accelerator],
            worker=WORKER,
            params=TrtPlanParams(
                kind=self.name,
                recipe=variant.quantization.recipe,
                checkpoint=_checkpoint(variant),
                target=_target(variant),
                tool=Tool(TOOL_LINE),
                asked=Asked(sizes(variant), features(variant)),
                llm_args=whole_args(variant, decided_args(Settings(variant))),
                args_file=ARGS_FILE,
                commands=(command,),
                serve=self.serve_command(variant).model_dump(mode="json"),
                unchecked_args=unchecked_args(variant),
            ),
            admission=admission(),
            commands=(command,),
        )

    def serve_command(self, variant: ResolvedVariant) -> ServeCommand:
        """Return the command of TensorRT-LLM's own server; the engine's file holds its other settings.

        `/health` answers only once the model is loaded, as the server binds its port after that.
        """
        flags = {
            "--backend": "tensorrt",
            "--tokenizer": "{tree}",
            "--host": "{host}",
            "--port": "{port}",
            "--extra_llm_api_options": f"{{tree}}/{ARGS_FILE}",
            "--log_level": "warning",
        }
        argv = ["{bin}/trtllm-serve", "{tree}", *_written(flags)]
        toolchain = load_kinds()[self.name].toolchains.serve[variant.target.accelerator]
        return ServeCommand(
            toolchain=toolchain,
            argv=tuple(argv),
            ready_path="/health",
            model=SERVED_MODEL,
            generated_ids="instead-of-text",
        )

    def benchmark_command(self, variant: ResolvedVariant, concurrency: int) -> ToolCommand:  # noqa: ARG002
        """Return the command of TensorRT-LLM's own benchmark; it reads sizes and ranks from the plan."""
        flags = {
            "--engine_dir": "{engine}",
            "--backend": "tensorrt",
            "--extra_llm_api_options": f"{{engine}}/{ARGS_FILE}",
        }
        return benchmark(model_path="{checkpoint}", flags=flags, concurrency=concurrency)


def admission() -> TrtPlanAdmission:
    """Return what the tool's model files read of a checkpoint's config.json."""
    table = load_model_files()
    named = [name for row in table.model_files for name in row.architectures]
    rows = [(name, row) for name in named if (row := table.reads_of(name))]
    return TrtPlanAdmission(
        reads=tuple(
            ConfigReads(row.file, name, row.required, row.stated, dict(row.values)) for name, row in rows
        ),
        quantization_keys=table.quantization_keys.names,
        rotary_scalings=table.rotary_scalings.names,
    )


def build_command(variant: ResolvedVariant) -> ToolCommand:
    """Return the whole command line of trtllm-build."""
    options = variant.engine.options
    flags: dict[str, object] = {
        "--checkpoint_dir": "{checkpoint}",
        "--output_dir": "{output}",
        **{f"--{name}": size for name, size in sizes(variant).items()},
        "--kv_cache_type": "paged",
        "--logits_dtype": "float32",
        **{f"--{name}": value for name, value in kernels(variant).items()},
        **{f"--{name}": "enable" if on else "disable" for name, on in features(variant).items()},
        "--tokens_per_block": options["tokens_per_block"],
        # Relative to {scratch}, where commands run: the engine's config.json repeats it.
        "--output_timing_cache": "timing.cache",
        "--profiling_verbosity": options["profiling_verbosity"],
        "--workers": Settings(variant).workers,
        "--log_level": options["log_level"],
    }
    argv = ["{bin}/trtllm-build", *_written(flags)]
    if options["gather_context_logits"]:
        argv.append("--gather_context_logits")
    return ToolCommand(name="build", argv=tuple(argv), env={})


def sizes(variant: ResolvedVariant) -> dict[str, int]:
    """Return the sizes by the tool's names, without opt_num_tokens if there are several profiles."""
    settings, shape = Settings(variant), variant.shape
    asked = {
        "max_batch_size": shape.max_batch_size,
        "max_input_len": shape.max_input_len,
        "max_seq_len": shape.max_seq_len,
        "max_num_tokens": settings.max_num_tokens,
        "max_beam_width": int(settings.option("max_beam_width")),
    }
    tuned = settings.opt_num_tokens
    return asked if tuned is None else asked | {"opt_num_tokens": tuned}


def kernels(variant: ResolvedVariant) -> dict[str, str]:
    """Return which of TensorRT-LLM's own kernels compute what, by the tool's names."""
    settings = Settings(variant)
    return {
        **{name: str(settings.option(name)) for name in CHOSEN_KERNELS},
        "gemm_plugin": settings.gemm_plugin,
        "nccl_plugin": "auto" if variant.devices > 1 else "disable",
        "lora_plugin": "disable",
        "fp8_rowwise_gemm_plugin": "auto" if settings.quant_algo == ROWWISE else "disable",
    }


def features(variant: ResolvedVariant) -> dict[str, bool]:
    """Return which features are on and which are off, by the tool's names."""
    settings = Settings(variant)
    return {
        **{name: bool(settings.option(name)) for name in CHOSEN_FEATURES},
        "use_paged_context_fmha": settings.paged_context_fmha,
        "use_fp8_context_fmha": settings.fp8_context_fmha,
        "use_fused_mlp": settings.fused_mlp,
        # The server's scheduler feeds packed sequences.
        "remove_input_padding": True,
        "dora_plugin": False,
        "streamingllm": False,
    }


def _require_possible(variant: ResolvedVariant) -> None:
    found = clashes(variant)
    if found:
        raise OptionsClash(
            "these options of trt-plan do not go together: " + "; ".join(map(str, found)),
            where="engine.options",
            fix="change or remove these options; an option that is left out is derived from the others",
        )


def _checkpoint(variant: ResolvedVariant) -> WantedCheckpoint:
    settings, search = Settings(variant), variant.quantization.search
    recipes = load_recipes()
    mixed = {recipes[name].quant_algo or "" for name in search.candidates} if search else set()
    return WantedCheckpoint(
        tensor_parallel=variant.tensor_parallel,
        pipeline_parallel=variant.pipeline_parallel,
        quant_algo=settings.quant_algo,
        kv_cache_quant_algo=settings.kv_algo,
        layer_quant_algos=tuple(sorted(mixed)),
    )


def _target(variant: ResolvedVariant) -> Target:
    target = variant.target
    names = tuple(target.gpu.product_names) if target.gpu else ()
    return Target(target.machine, target.compute_capability, names)


def _written(flags: dict[str, Any]) -> list[str]:
    return [part for flag, value in flags.items() for part in (flag, str(value))]


TRT_PLAN = TrtPlan()
