"""Choosing the variant of a release for a host, with the reason."""

from pydantic import Field

from artifacts.canonical import Digest
from artifacts.errors import NotFound, NothingFits
from artifacts.frozen import Frozen
from artifacts.hosts import HostFacts, HostRequirements, Refused, ServeCommand, fits
from artifacts.releases.releases import Release, VariantRelease


class Choice(Frozen):
    """The variant picked for a host."""

    variant: VariantRelease = Field(description="The variant.")
    tree: Digest = Field(description="The tree to deploy.")
    serve: ServeCommand = Field(description="The command that serves it.")
    reason: str = Field(description="Why this one, as part of a sentence.")


def choose_variant(release: Release, facts: HostFacts, name: str | None = None) -> Choice:
    """Return the most demanding variant that a host can run, or the one of that name.

    What requires more of a host was made more closely for it; the first in the spec's order wins a tie.
    Raises NothingFits with each candidate and why it was refused, NotFound for a name that the release lacks.
    """
    refused: list[str] = []
    fitting: list[Choice] = []
    for variant in _candidates(release, name):
        answer = _examine(variant, facts)
        if isinstance(answer, Choice):
            fitting.append(answer)
        else:
            refused.append(f"{variant.name}: {answer.reason}")
    if not fitting:
        raise NothingFits(
            f"no variant of {release.name}@{release.version} can be deployed on this host",
            where="\n    ".join(["", *refused]),
            fix="pull on a host that has what one of them needs, or add a variant for this host to the spec",
        )
    best = max(fitting, key=lambda choice: _demand(choice.variant.requires))
    return best.model_copy(update={"reason": best.reason + _alternatives(len(fitting), name)})


def _candidates(release: Release, name: str | None) -> tuple[VariantRelease, ...]:
    chosen = tuple(variant for variant in release.variants if name in (None, variant.name))
    if not chosen:
        raise NotFound(
            f"{release.name}@{release.version} has no variant {name!r}",
            where=f"variants: {', '.join(variant.name for variant in release.variants)}",
            fix="name one of these, or none to get the best one for this host",
        )
    return chosen


def _examine(variant: VariantRelease, facts: HostFacts) -> Choice | Refused:
    if variant.tree is None or variant.serve is None:
        return Refused(reason=f"{variant.verdict} ({'; '.join(variant.reasons) or 'no reason recorded'})")
    answer = fits(variant.requires, facts)
    if isinstance(answer, Refused):
        return answer
    reason = f"{variant.verdict}; {answer.reason}"
    return Choice(variant=variant, tree=variant.tree, serve=variant.serve, reason=reason)


def _demand(requires: HostRequirements) -> tuple[int, bool, bool, int]:
    """Rank requirements: by GPUs, then whether they are named, then their architecture, then CPU features."""
    named, capability = bool(requires.gpu_names), requires.compute_capability is not None
    return requires.gpu_count, named, capability, len(requires.cpu_features)


def _alternatives(fitting: int, name: str | None) -> str:
    if name:
        return "; asked for by name"
    return f"; the most demanding of {fitting} that fit" if fitting > 1 else "; the only one that fits"
