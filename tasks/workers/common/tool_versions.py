"""The versions that a toolchain really holds. Standard library only, but torch is imported last."""

from collections.abc import Iterable
from importlib import metadata

from tasks.workers.common.io import Refusal


def tool_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Installed versions by distribution, and `cuda`, the version that torch was built with.

    Raises:
        Refusal: a distribution is missing.
    """
    try:
        versions = {name: metadata.version(name) for name in distributions}
    except metadata.PackageNotFoundError as missing:
        raise Refusal(
            "unsupported",
            f"the toolchain has no distribution {missing.name}",
            where="toolchain",
            fix="install the toolchain again: enginery toolchain install NAME",
        ) from None
    from torch.version import cuda

    return versions | {"cuda": str(cuda)}
