"""How vLLM serves a checkpoint: as the reference of every verdict, and as what `stay-on-vllm` deploys.

vLLM gets the same devices as the engine: the same number of GPUs of the same type, divided in the same way.
"""

from collections.abc import Mapping
from typing import Any

from artifacts.hosts import ServeCommand
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import Target, load_kinds
from tasks.kinds.vllm.flags import KV_CACHE_DTYPES, QUANTIZATION, TOOLCHAINS, VALUES, server_flags

SERVED_MODEL = "model"
# The kind whose table says what vLLM loads.
KIND = "vllm"


def vllm_serve_command(configuration: Mapping[str, Any], variant: ResolvedVariant) -> ServeCommand:
    """Return the command that serves a checkpoint with vLLM, for sequences as long as the variant's.

    Args:
        configuration: settings by the names of vLLM's engine arguments. Any other is left at vLLM's default.
        variant: gives the limit of length, and the number and type of devices.

    Raises:
        UnknownSetting: a setting has no flag here.
    """
    # The program `vllm` needs a distribution named vllm, which the CPU build is not; the module runs in both
    # builds, although with a note that it is deprecated.
    argv = ["{python}", "-m", "vllm.entrypoints.openai.api_server", "--model", "{tree}"]
    argv += ["--host", "{host}", "--port", "{port}", "--served-model-name", "{model}"]
    argv += server_flags(variant, configuration)
    # Its lines about every request and every ten seconds would drown the log of the run.
    env = {"VLLM_LOGGING_LEVEL": "WARNING"}
    toolchain = TOOLCHAINS[variant.target.accelerator]
    return ServeCommand(toolchain=toolchain, argv=tuple(argv), env=env, model=SERVED_MODEL)


def loading_settings(recipe: str, target: Target) -> Mapping[str, Any] | None:
    """Return the settings with which vLLM serves an export of ModelOpt as it is; None if it does not.

    The export is one with this recipe, in Hugging Face's layout.
    """
    row = load_kinds()[KIND].recipe(recipe)
    return {"quantization": QUANTIZATION} if row and row.takes(target.compute_capability) else None


def kv_cache_settings(kv_cache: str, target: Target) -> Mapping[str, Any]:
    """Return the settings for a format of the KV cache; none if vLLM does not have it, or if it is plain."""
    row = load_kinds()[KIND].kv_cache(kv_cache)
    has = kv_cache != "none" and row is not None and row.takes(target.compute_capability)
    return {"kv_cache_dtype": KV_CACHE_DTYPES[kv_cache]} if has else {}


def is_vllm(serve: ServeCommand) -> bool:
    """Whether vLLM's own server serves."""
    return serve.toolchain in TOOLCHAINS.values()


def with_memory_share(serve: ServeCommand, share: float) -> ServeCommand:
    """Return the command with a share of each GPU's memory; unchanged if it is not vLLM's."""
    if not is_vllm(serve):
        return serve
    flag, argv = VALUES["gpu_memory_utilization"], list(serve.argv)
    if flag in argv:
        argv[argv.index(flag) + 1] = f"{share:g}"
    else:
        argv += [flag, f"{share:g}"]
    return serve.model_copy(update={"argv": tuple(argv)})
