"""How vLLM serves a checkpoint: as the reference of every verdict, and as what `stay-on-vllm` deploys.

vLLM gets the same devices as the engine: the same number of GPUs of the same type, divided in the same way.
Flags are those of vllm/engine/arg_utils.py and vllm/entrypoints/launchers/cli_args.py of vLLM 0.32.0,
one version for both toolchains.
"""

from collections.abc import Mapping
from typing import Any

from artifacts.hosts import ServeCommand
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import Accelerator
from tasks.errors import UnknownSetting

TOOLCHAINS: Mapping[Accelerator, str] = {"cpu": "vllm-cpu", "cuda": "vllm-cuda"}
SERVED_MODEL = "model"
# vLLM's flags for the settings of a declared configuration. A flag that is a switch has two forms.
VALUES = {
    "dtype": "--dtype",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "block_size": "--block-size",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}
SWITCHES = {
    "enforce_eager": ("--enforce-eager", "--no-enforce-eager"),
    "enable_prefix_caching": ("--enable-prefix-caching", "--no-enable-prefix-caching"),
    "enable_chunked_prefill": ("--enable-chunked-prefill", "--no-enable-chunked-prefill"),
}


def vllm_serve_command(configuration: Mapping[str, Any], variant: ResolvedVariant) -> ServeCommand:
    """Return the command that serves a checkpoint with vLLM within the variant's shape.

    Args:
        configuration: settings by the names of vLLM's engine arguments. Any other is left at vLLM's default,
            except `max_num_seqs`: by default it is the variant's batch size, as for the engine.
        variant: gives the limits of length and batch, and the number and type of devices.

    Raises:
        UnknownSetting: a setting has no flag here.
    """
    settings = {"max_num_seqs": variant.shape.max_batch_size, **configuration}
    # The program `vllm` needs a distribution named vllm, which the CPU build is not; the module runs in both
    # builds, although with a note that it is deprecated.
    argv = ["{python}", "-m", "vllm.entrypoints.openai.api_server", "--model", "{tree}"]
    argv += ["--host", "{host}", "--port", "{port}"]
    argv += ["--served-model-name", "{model}", "--max-model-len", str(variant.shape.max_seq_len)]
    # Otherwise, the time to write a log line would be part of every request.
    argv += ["--disable-uvicorn-access-log"]
    # Otherwise, vLLM would apply the checkpoint's generation_config.json (penalties, temperature, top-p) to
    # every request that does not name them, even to greedy ones; engines do not read it.
    argv += ["--generation-config", "vllm"]
    argv += _parallelism(variant)
    for name, value in settings.items():
        argv += flags_of(name, value)
    # Its lines about every request and every ten seconds would drown the log of the run.
    env = {"VLLM_LOGGING_LEVEL": "WARNING"}
    toolchain = TOOLCHAINS[variant.target.accelerator]
    return ServeCommand(toolchain=toolchain, argv=tuple(argv), env=env, model=SERVED_MODEL)


def _parallelism(variant: ResolvedVariant) -> list[str]:
    """Return the flags that divide the model between GPUs; none on a CPU."""
    if variant.target.accelerator == "cpu":
        return []
    tensor, pipeline = str(variant.tensor_parallel), str(variant.pipeline_parallel)
    return ["--tensor-parallel-size", tensor, "--pipeline-parallel-size", pipeline]


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
        f"The vLLM setting {name} has no flag here.",
        where="validation.reference.configurations",
        fix=f"Use one of: {', '.join(sorted([*VALUES, *SWITCHES]))}.",
    )
