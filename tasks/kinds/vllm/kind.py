"""Kind vllm: vLLM itself, tuned, quantized and warm.

Nothing is compiled ahead here: what is deployed is the checkpoint, the resolved flags of vLLM's server, and
what vLLM compiles and caches when it starts. The build starts the same server that will serve the engine, so
the caches are filled by the code that will read them. The server is started by a launcher that the tree
ships (`tasks.workers.vllm.serve`): caches are only found again behind the path that they were filled at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from artifacts.hosts import ServeCommand
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds, load_recipes
from tasks.kinds.kind import JobPlan
from tasks.kinds.ready_made import kv_cache_algos, ready_made_algos
from tasks.kinds.speculation import drafting, vllm_settings
from tasks.kinds.vllm.flags import KV_CACHE_DTYPES, QUANTIZATION, server_flags
from tasks.workers.common.shape import Shape
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.vllm.request import SERVER, Target, VllmAdmission, VllmParams, WarmUp

WORKER = "tasks.workers.vllm.build"
SERVED_MODEL = "model"
READY_PATH = "/health"
STARTS = "warmth_starts"
SWITCHED_OFF = "disable_log_stats"
FUSED_ALL_REDUCE = "fuse_allreduce_rms"
# vLLM's names for what makes sense on GPUs only; on CPUs vLLM ignores or refuses them.
GPU_OPTIONS = (
    "cudagraph_mode",
    "max_cudagraph_capture_size",
    "gpu_memory_utilization",
    "attention_backend",
    "async_scheduling",
    FUSED_ALL_REDUCE,
)
GPU_MEMORY_UTILIZATION = 0.9
VARIABLES = {
    # The lines by which vLLM says whether it used its caches are of this level.
    "VLLM_LOGGING_LEVEL": "INFO",
    # Those about throughput, every ten seconds, would drown the log of the run.
    "VLLM_LOG_STATS_INTERVAL": "3600",
}
ACCELERATOR_VARIABLES = {
    "cpu": {
        # For CPUs, vLLM 0.32 compiles without its own backend: what it saves ahead of time cannot be loaded,
        # and every start would try, fail and save it again (vllm/compilation/decorators.py).
        "VLLM_USE_AOT_COMPILE": "0",
        # Inductor keeps compiled headers in the directory for temporary files, where a fresh host has none,
        # and compiles them before it looks for the kernels that it has (torch/_inductor/codecache.py).
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
    },
    # It is compiled with nvcc at each new place, and without nvcc the server does not start.
    "cuda": {"VLLM_USE_FLASHINFER_SAMPLER": "0"},
}


@dataclass(frozen=True, slots=True)
class Vllm:
    """The kind vllm; its facts (architectures, recipes, options) are data."""

    name: str = "vllm"

    def option_problems(self, variant: ResolvedVariant) -> tuple[Problem, ...]:
        """Return the options and sizes that vLLM would refuse together."""
        return tuple(_problems(variant))

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that assembles the tree, fills its caches, and proves that they help."""
        commands = tuple(_start(variant, name, caches) for name, caches in _STARTS.items())
        quantization = variant.quantization
        return JobPlan(
            toolchain=load_kinds()[self.name].toolchains.build[variant.target.accelerator],
            worker=WORKER,
            params=VllmParams(
                kind=self.name,
                recipe=quantization.recipe,
                shape=Shape(**variant.shape.model_dump()),
                target=_target(variant),
                warm_up=WarmUp(READY_PATH, SERVED_MODEL, int(str(variant.engine.options[STARTS]))),
                commands=commands,
                serve=self.serve_command(variant).model_dump(mode="json"),
                speculative=drafting(variant),
            ),
            admission=VllmAdmission(
                architectures=load_kinds()[self.name].architecture_names,
                quant_algos=ready_made_algos(variant) or (load_recipes()[quantization.recipe].quant_algo,),
                layer_quant_algos=ready_made_algos(variant),
                kv_cache_quant_algos=kv_cache_algos(variant),
            ),
            commands=commands,
            ships=(SERVER,),
        )

    def serve_command(self, variant: ResolvedVariant) -> ServeCommand:
        """Return the command of the launcher, whose source files are in the tree."""
        return ServeCommand(
            toolchain=load_kinds()[self.name].toolchains.serve[variant.target.accelerator],
            argv=_launcher(variant, "{tree}", "{host}", "{model}"),
            env={"PYTHONPATH": "{tree}/server"} | _variables(variant),
            ready_path=READY_PATH,
            model=SERVED_MODEL,
        )

    def benchmark_command(self, variant: ResolvedVariant, concurrency: int) -> ToolCommand | None:  # noqa: ARG002
        """Return none: vLLM's benchmark is a client of its server, as ours is."""
        return None


# The starts of a build, and what they find as their caches; a third, from a copy, is the serve command.
_STARTS = {"cold start": "empty", "warm start": "shipped"}


def _start(variant: ResolvedVariant, name: str, caches: str) -> ToolCommand:
    argv = _launcher(variant, "{output}", "127.0.0.1", SERVED_MODEL, "--caches", caches)
    return ToolCommand(name=name, argv=argv, env=_variables(variant))


def _launcher(variant: ResolvedVariant, tree: str, host: str, model: str, *more: str) -> tuple[str, ...]:
    own = ("--tree", tree, "--host", host, "--port", "{port}", "--model", model, *more)
    return ("{python}", "-P", "-m", SERVER, *own, "--", *_flags(variant, tree))


def _flags(variant: ResolvedVariant, tree: str) -> list[str]:
    """Return vLLM's flags, in the order of its settings: from the shape, the recipe, and the options."""
    options = {name: value for name, value in variant.engine.options.items() if value is not None}
    del options[STARTS]
    switched_off = options.pop(SWITCHED_OFF)
    drafting = vllm_settings(variant.speculative, tree)
    flags = server_flags(variant, _derived(variant) | options | drafting)
    return [*flags, "--disable-log-stats"] if switched_off else flags


def _derived(variant: ResolvedVariant) -> dict[str, Any]:
    shape, quantization = variant.shape, variant.quantization
    settings: dict[str, Any] = {
        "max_num_seqs": shape.max_batch_size,
        "max_num_batched_tokens": shape.max_num_tokens,
        "kv_cache_dtype": KV_CACHE_DTYPES[quantization.kv_cache],
    }
    if _is_quantized(variant) and variant.quantization.source is None:
        settings["quantization"] = QUANTIZATION
    if variant.target.accelerator == "cuda":
        settings["gpu_memory_utilization"] = GPU_MEMORY_UTILIZATION
        if variant.tensor_parallel > 1:
            # By default, vLLM fuses if it finds nvcc on PATH (vllm/utils/flashinfer.py, has_flashinfer), and
            # its key of the caches holds what it decided: so those of a host with nvcc would not be found on
            # one without.
            settings[FUSED_ALL_REDUCE] = False
    return settings


def _is_quantized(variant: ResolvedVariant) -> bool:
    return load_recipes()[variant.quantization.recipe].form != "none"


def _variables(variant: ResolvedVariant) -> dict[str, str]:
    return VARIABLES | ACCELERATOR_VARIABLES[variant.target.accelerator]


def _problems(variant: ResolvedVariant) -> Iterator[Problem]:
    options, shape = variant.engine.options, variant.shape
    where = f"variants.{variant.name}"
    if variant.target.accelerator == "cpu":
        for name in GPU_OPTIONS:
            if options[name] is not None:
                found = f"{options[name]} on {variant.target.name}"
                yield Problem(f"{where}.engine.options.{name}", found, "leave it out: it is for GPUs")
    if _is_quantized(variant) and options["dtype"] == "float32":
        found = f"float32 with recipe {variant.quantization.recipe}"
        yield Problem(f"{where}.engine.options.dtype", found, "auto, bfloat16 or float16")
    if variant.speculative and variant.speculative.method == "ngram" and options["async_scheduling"]:
        accepted = "leave it out, or false: vLLM drafts n-grams only between two iterations"
        yield Problem(f"{where}.engine.options.async_scheduling", "true with speculative ngram", accepted)
    if shape.max_num_tokens < shape.max_batch_size:
        accepted = f"at least {shape.max_batch_size}, the sequences of one iteration (max_batch_size)"
        yield Problem(f"{where}.shape.max_num_tokens", str(shape.max_num_tokens), accepted)
    if not options["enable_chunked_prefill"] and shape.max_num_tokens < shape.max_seq_len:
        accepted = f"at least {shape.max_seq_len} (max_seq_len), or enable_chunked_prefill"
        yield Problem(f"{where}.shape.max_num_tokens", str(shape.max_num_tokens), accepted)


def _target(variant: ResolvedVariant) -> Target:
    target = variant.target
    return Target(
        machine=target.machine,
        cpu_features=tuple(target.cpu_features),
        gpu_names=tuple(target.gpu.product_names) if target.gpu else (),
        compute_capability=target.compute_capability,
        gpu_count=variant.devices if target.gpu else 0,
    )


VLLM = Vllm()
