"""Pulling a release onto a serving host."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from artifacts.canonical import Digest
from artifacts.compat import HostFacts
from artifacts.frozen import Frozen
from artifacts.releases import Release
from artifacts.store import Store


class PulledRelease(Frozen):
    """What a pull installed, or found installed."""

    release: Release = Field(description="The release.")
    variant: str = Field(description="Name of the variant.")
    directory: Path = Field(description="Where it is installed: exactly its tree.")
    tree: Digest = Field(description="The tree.")
    reason: str = Field(description="Why this variant.")
    downloaded_bytes: int = Field(ge=0, description="Bytes that this pull took from the store.")
    already_installed: bool = Field(description="Whether it was there before.")


def pull(
    store: Store,
    reference: str,
    root: Path,
    variant: str | None = None,
    facts: HostFacts | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PulledRelease:
    """Install the variant of a release that fits this host at root/name/version/variant."""
    raise NotImplementedError
