"""How vLLM serves a checkpoint: as the reference of every verdict, and as what `stay-on-vllm` deploys.

vLLM gets the same devices as the engine: the same number of GPUs of the same type, divided in the same way.
"""

from collections.abc import Mapping
from typing import Any

from artifacts.hosts import ServeCommand
from engine_specs.spec import ResolvedVariant
from tasks.kinds.vllm.flags import TOOLCHAINS, VALUES, server_flags

SERVED_MODEL = "model"


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
