"""Which variant of a release runs on a host: what the host has against what an engine needs, with reasons."""

from pydantic import Field

from artifacts.engine import HostRequirements
from artifacts.frozen import Frozen
from artifacts.releases import Release, VariantRelease


class HostFacts(Frozen):
    """What a host has."""

    machine: str = Field(description="platform.machine(): x86_64, aarch64.")
    cpu_features: tuple[str, ...] = Field(description="CPU flags, as /proc/cpuinfo names them, sorted.")


class Fits(Frozen):
    """The host has all that is needed."""

    reason: str = Field(description="Why it fits, as a sentence.")


class Refused(Frozen):
    """The host lacks something."""

    reason: str = Field(description="What is missing, as a sentence.")


class Choice(Frozen):
    """The variant picked for a host."""

    variant: VariantRelease = Field(description="The variant.")
    reason: str = Field(description="Why this one.")


def probe_host() -> HostFacts:
    """Facts of this host; the CPU flags come from /proc/cpuinfo."""
    raise NotImplementedError


def fits(requires: HostRequirements, facts: HostFacts) -> Fits | Refused:
    """Whether a host can run what needs this."""
    raise NotImplementedError


def choose_variant(release: Release, facts: HostFacts, name: str | None = None) -> Choice:
    """The best variant of a release for a host, or the one of that name where it fits.

    Raises NothingFits, with each candidate and why it was refused.
    """
    raise NotImplementedError
