"""Which variant of a release runs on a host: what the host has against what an engine needs, with reasons."""

import platform
from pathlib import Path

from pydantic import Field

from artifacts.canonical import Digest
from artifacts.engine import HostRequirements, ServeRecipe
from artifacts.errors import NotFound, NothingFits
from artifacts.frozen import Frozen
from artifacts.releases import Release, VariantRelease

CPUINFO = Path("/proc/cpuinfo")
# x86 kernels print "flags", 64-bit ARM kernels "Features".
FEATURE_LINES = ("flags", "Features")


class HostFacts(Frozen):
    """What a host has."""

    machine: str = Field(description="platform.machine(): x86_64, aarch64.")
    cpu_features: tuple[str, ...] = Field(description="CPU flags as in /proc/cpuinfo, sorted.")


class Fits(Frozen):
    """The host has all that is needed."""

    reason: str = Field(description="Why it fits, as part of a sentence.")


class Refused(Frozen):
    """The host lacks something, or there is nothing to run."""

    reason: str = Field(description="Why, as part of a sentence.")


class Choice(Frozen):
    """The variant picked for a host."""

    variant: VariantRelease = Field(description="The variant.")
    tree: Digest = Field(description="The tree to deploy.")
    serve: ServeRecipe = Field(description="The recipe to serve it with.")
    reason: str = Field(description="Why this one, as part of a sentence.")


def probe_host(cpuinfo: Path = CPUINFO) -> HostFacts:
    """Facts of this host; the CPU flags are those of its first processor."""
    for line in cpuinfo.read_text(errors="replace").splitlines():
        label, _, value = line.partition(":")
        if label.strip() in FEATURE_LINES:
            return HostFacts(machine=platform.machine(), cpu_features=tuple(sorted(value.split())))
    return HostFacts(machine=platform.machine(), cpu_features=())


def fits(requires: HostRequirements, facts: HostFacts) -> Fits | Refused:
    """Whether a host can run what needs this."""
    if requires.machine != facts.machine:
        return Refused(reason=f"needs {requires.machine}, this host is {facts.machine}")
    if requires.gpu_count:
        names = " or ".join(requires.gpu_names) or "NVIDIA GPU"
        return Refused(reason=f"needs {requires.gpu_count} x {names}, and no GPU was found on this host")
    if missing := sorted(set(requires.cpu_features) - set(facts.cpu_features)):
        return Refused(reason=f"needs CPU features that this host lacks: {', '.join(missing)}")
    count = len(requires.cpu_features)
    return Fits(
        reason=f"{facts.machine} with all {count} CPU features asked for" if count else f"any {facts.machine}"
    )


def choose_variant(release: Release, facts: HostFacts, name: str | None = None) -> Choice:
    """The most demanding variant that a host can run, or the one of that name.

    What asks for more of a host was made more closely for it; the first in the spec's order wins a draw.
    Raises NothingFits with each candidate and why it was refused, NotFound for a name that the release lacks.
    """
    refused: list[str] = []
    fitting: list[Choice] = []
    for variant in _candidates(release, name):
        answer = _judge(variant, facts)
        if isinstance(answer, Choice):
            fitting.append(answer)
        else:
            refused.append(f"{variant.name}: {answer.reason}")
    if not fitting:
        raise NothingFits(
            f"No variant of {release.name}@{release.version} can be deployed on this host.",
            where="\n    ".join(["", *refused]),
            fix="Pull on a host that has what one of them needs, or add a variant for this one to the spec.",
        )
    best = max(fitting, key=lambda choice: _demand(choice.variant.requires))
    return best.model_copy(update={"reason": best.reason + _rivals(len(fitting), name)})


def _candidates(release: Release, name: str | None) -> tuple[VariantRelease, ...]:
    chosen = tuple(variant for variant in release.variants if name in (None, variant.name))
    if not chosen:
        raise NotFound(
            f"{release.name}@{release.version} has no variant {name!r}.",
            where=f"variants: {', '.join(variant.name for variant in release.variants)}",
            fix="Name one of these, or none to get the best one for this host.",
        )
    return chosen


def _judge(variant: VariantRelease, facts: HostFacts) -> Choice | Refused:
    if variant.tree is None or variant.serve is None:
        return Refused(reason=f"{variant.verdict} ({'; '.join(variant.reasons) or 'no reason recorded'})")
    answer = fits(variant.requires, facts)
    if isinstance(answer, Refused):
        return answer
    reason = f"{variant.verdict}; {answer.reason}"
    return Choice(variant=variant, tree=variant.tree, serve=variant.serve, reason=reason)


def _demand(requires: HostRequirements) -> tuple[int, int]:
    return requires.gpu_count, len(requires.cpu_features)


def _rivals(fitting: int, name: str | None) -> str:
    if name:
        return "; asked for by name"
    return f"; the most demanding of {fitting} that fit" if fitting > 1 else "; the only one that fits"
