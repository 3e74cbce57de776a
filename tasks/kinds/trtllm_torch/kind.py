"""Kind trtllm-torch: TensorRT-LLM's PyTorch backend, which compiles nothing that could be kept as an engine.

What is deployed is the checkpoint, the resolved arguments of the tool's LLM class, and the autotuner's
measurements on one GPU. The build starts the same server that will serve the engine, and waits until it
answers: so the cache is filled by the code that will read it, and an engine that cannot be served is never
built.

Flags and paths of `trtllm-serve`: tests/unittest/api_stability/references/trtllm_serve_cli.yaml of
NVIDIA/TensorRT-LLM at 029e223d527d2ff453062555f7aef86517a2847c; `/health` is registered by
tensorrt_llm/serve/openai_server.py and documented since 0.19; TLLM_AUTOTUNER_CACHE_PATH is read by
tensorrt_llm/_torch/pyexecutor/model_engine.py when it warms up.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from artifacts.hosts import ServeCommand
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, load_kinds, load_recipes
from tasks.kinds.kind import JobPlan
from tasks.kinds.llm_args import passed_problems, unchecked_args, whole_args
from tasks.kinds.ready_made import kv_cache_algos, ready_made_algos
from tasks.kinds.speculation import drafting
from tasks.kinds.trtllm_bench import benchmark
from tasks.kinds.trtllm_torch.args import decided_args
from tasks.workers.common.shape import Shape
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.trtllm_torch.request import Files, Target, TrtllmTorchAdmission, TrtllmTorchParams, WarmUp

WORKER = "tasks.workers.trtllm_torch.build"
SERVED_MODEL = "model"
ARGS_FILE = "llm_args.yaml"
CACHE_FILE = "autotuner/cache.json"
CACHE_VARIABLE = "TLLM_AUTOTUNER_CACHE_PATH"
READY_PATH = "/health"
ATTENTION = "TRTLLM"
MIXED = "MIXED_PRECISION"


@dataclass(frozen=True, slots=True)
class TrtllmTorch:
    """The kind trtllm-torch; its facts (architectures, recipes, options) are data."""

    name: str = "trtllm-torch"

    def option_problems(self, variant: ResolvedVariant) -> tuple[Problem, ...]:
        """Return passed arguments that contradict the spec, and pieces of prompts smaller than a block."""
        return (*_pieces(variant), *_drafting(variant), *passed_problems(variant, decided_args(variant)))

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that resolves the arguments, tunes, and assembles the tree."""
        facts = load_kinds()[self.name]
        command = _warm_up(variant)
        return JobPlan(
            toolchain=facts.toolchains.build[variant.target.accelerator],
            worker=WORKER,
            params=TrtllmTorchParams(
                kind=self.name,
                recipe=variant.quantization.recipe,
                shape=Shape(**variant.shape.model_dump()),
                target=_target(variant),
                llm_args=whole_args(variant, decided_args(variant)),
                files=Files(llm_args=ARGS_FILE, cache=CACHE_FILE),
                warm_up=WarmUp(READY_PATH, SERVED_MODEL),
                commands=(command,),
                serve=self.serve_command(variant).model_dump(mode="json"),
                speculative=drafting(variant),
                unchecked_args=unchecked_args(variant),
            ),
            admission=_admission(variant, facts),
            commands=(command,),
        )

    def serve_command(self, variant: ResolvedVariant) -> ServeCommand:
        """Return the command of the tool's own server.

        On start, the server loads the cache, adds what is missing, and saves it: so it gets a copy.
        """
        return ServeCommand(
            toolchain=load_kinds()[self.name].toolchains.serve[variant.target.accelerator],
            argv=_server(variant, "{tree}", "{host}", "{model}", "warning"),
            env={CACHE_VARIABLE: f"{{scratch}}/{CACHE_FILE}"},
            rewrites=(CACHE_FILE,),
            fills=(ARGS_FILE,) if _names_tree(variant) else (),
            ready_path=READY_PATH,
            model=SERVED_MODEL,
            generated_ids="instead-of-text",
        )

    def benchmark_command(self, variant: ResolvedVariant, concurrency: int) -> ToolCommand:
        """Return the command of the tool's own benchmark, which loads the tuned cache as the server does.

        Without both sizes it would choose sizes by heuristics of its own.
        """
        flags = {
            "--config": f"{'{scratch}' if _names_tree(variant) else '{engine}'}/{ARGS_FILE}",
            "--max_batch_size": str(variant.shape.max_batch_size),
            "--max_num_tokens": str(variant.shape.max_num_tokens),
            "--max_seq_len": str(variant.shape.max_seq_len),
            "--tp": str(variant.layer_devices),
            "--pp": str(variant.pipeline_parallel),
            **({"--ep": str(variant.expert_parallel)} if variant.expert_parallel > 1 else {}),
        }
        return benchmark(
            model_path="{engine}",
            flags=flags,
            concurrency=concurrency,
            env={CACHE_VARIABLE: f"{{scratch}}/{CACHE_FILE}"},
            switches=("--no-telemetry",),
        )


def _pieces(variant: ResolvedVariant) -> Iterator[Problem]:
    """Yield iterations that hold less than a block: a prompt is read in whole blocks, but for its end."""
    options, tokens = variant.engine.options, variant.shape.max_num_tokens
    block = int(options["tokens_per_block"] or 0)
    if options["enable_chunked_prefill"] and tokens < block:
        accepted = f"at least {block} (tokens_per_block): enable_chunked_prefill reads whole blocks"
        yield Problem(f"variants.{variant.name}.shape.max_num_tokens", str(tokens), accepted)


def _drafting(variant: ResolvedVariant) -> Iterator[Problem]:
    """Yield kernels of attention that are not known to check several drafted tokens at once.

    With one model for target and draft, attention always has to (attention_need_spec_dec_mode of
    tensorrt_llm/_torch/speculative/interface.py at 00b6d5a25c30b4382d24fbdf52956d601b3ffd24); for n-grams,
    other kernels read drafts like pieces of a prompt (extend_ctx there).
    """
    asked, kernels = variant.speculative, variant.engine.options["attn_backend"]
    if asked is not None and asked.method != "ngram" and kernels != ATTENTION:
        found = f"{kernels} with speculative {asked.method}"
        yield Problem(f"variants.{variant.name}.engine.options.attn_backend", found, f"{ATTENTION}, or ngram")


def _names_tree(variant: ResolvedVariant) -> bool:
    """Whether the arguments name a directory of the tree, which is elsewhere on each host."""
    return variant.speculative is not None and variant.speculative.draft is not None


def _warm_up(variant: ResolvedVariant) -> ToolCommand:
    return ToolCommand(
        name="warm-up",
        argv=_server(variant, "{output}", "127.0.0.1", SERVED_MODEL, "info"),
        env={CACHE_VARIABLE: f"{{output}}/{CACHE_FILE}"},
    )


def _server(variant: ResolvedVariant, tree: str, host: str, model: str, log_level: str) -> tuple[str, ...]:
    """Return the command of trtllm-serve; no flag repeats the YAML file, as either might win.

    There is no --backend: PyTorch's is the default, and the only one of this line that takes these arguments.
    """
    flags = {
        "--config": f"{'{scratch}' if _names_tree(variant) else tree}/{ARGS_FILE}",
        "--host": host,
        "--port": "{port}",
        "--served_model_name": model,
        "--log_level": log_level,
    }
    written = [part for flag, value in flags.items() for part in (flag, value)]
    return ("{bin}/trtllm-serve", tree, *written, "--no-telemetry")


def _admission(variant: ResolvedVariant, facts: KindFacts) -> TrtllmTorchAdmission:
    """Return what the checkpoint must be."""
    asked = variant.quantization
    recipe = load_recipes()[asked.recipe]
    possible = list(ready_made_algos(variant)) or _quant_algos(variant, facts)
    known = recipe.form in ("none", "preset")
    return TrtllmTorchAdmission(
        architectures=tuple(facts.architecture_names),
        quant_algos=(recipe.quant_algo,) if known else tuple(possible),
        layer_quant_algos=tuple(name for name in possible if name != MIXED),
        kv_cache_quant_algos=kv_cache_algos(variant),
    )


def _quant_algos(variant: ResolvedVariant, facts: KindFacts) -> list[str]:
    """Return the weight formats that recipes of this kind make and the target's GPU computes with."""
    capability = variant.target.compute_capability
    taken = [load_recipes()[row.name] for row in facts.recipes if capability in row.compute_capabilities]
    return sorted({recipe.quant_algo for recipe in taken if recipe.quant_algo})


def _target(variant: ResolvedVariant) -> Target:
    target = variant.target
    return Target(
        machine=target.machine,
        gpu_names=tuple(target.gpu.product_names) if target.gpu else (),
        compute_capability=target.compute_capability,
        gpu_count=variant.devices,
        tensor_parallel=variant.layer_devices,
    )


TRTLLM_TORCH = TrtllmTorch()
