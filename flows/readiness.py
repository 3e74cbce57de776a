"""Whether this host can have the toolchain that every build begins with, before anything starts.

Nothing of the Hub's client is imported: `enginery demo` asks before it names its Hub to the client.
"""

from collections.abc import Iterable

from artifacts.settings import Settings
from engine_specs.spec import ResolvedVariant
from tasks.kinds import vllm_serve_command
from tasks.toolchains import require_usable


def require_first_toolchains(variants: Iterable[ResolvedVariant], settings: Settings) -> None:
    """Check that this host can have vLLM, which is measured before anything is quantized or compiled.

    Others are asked for when they are needed: where vLLM suffices, they are not.

    Args:
        variants: what is built on this host.
        settings: name the directories, and what serves a toolchain.

    Raises:
        tasks.errors.ToolchainUnavailable: it cannot: no compiler, a path with blanks, too little disk.
        tasks.errors.ToolchainSettingInvalid: no provider understands its setting.
    """
    for name in sorted({vllm_serve_command({}, variant).toolchain for variant in variants}):
        require_usable(name, settings)
