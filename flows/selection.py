"""What of a spec a host builds: known from both alone, before anything starts. Pure."""

from collections.abc import Sequence

from artifacts.hosts import HostFacts
from engine_specs.reading import suggestion
from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from flows.errors import BadArgument, HostUnsuited
from tasks.stages import HostVariants, divide_by_host


def named_variants(spec: Spec, only: str | None) -> tuple[ResolvedVariant, ...]:
    """All variants of a spec, or the one of that name.

    Raises:
        BadArgument: the spec has no variant of that name.
    """
    require_variant([spec], only)
    return tuple(one for one in resolve_variants(spec) if only in {None, one.name})


def require_variant(specs: Sequence[Spec], only: str | None) -> None:
    """Check that one of the specs has a variant of that name, if one is named.

    Raises:
        BadArgument: none has.
    """
    names = [one.name for spec in specs for one in spec.variants]
    if only is not None and only not in names:
        told = ", ".join(spec.name for spec in specs)
        subject = f"spec {told} has" if len(specs) == 1 else f"specs {told} have"
        raise BadArgument(
            f"{subject} no variant {only!r}",
            fix=f"{suggestion(only, names)}the variants are: {', '.join(dict.fromkeys(names))}",
        )


def variants_here(spec: Spec, only: str | None, facts: HostFacts) -> HostVariants:
    """The variants to build on a host, and those that only other hosts can build.

    Raises:
        BadArgument: the spec has no variant of that name.
        HostUnsuited: none of them can be built on this host.
    """
    chosen = divide_by_host(named_variants(spec, only), facts)
    if not chosen.here:
        raise HostUnsuited(
            f"spec {spec.name} cannot be built here: {chosen.left_out}",
            fix=f"build it on such a host; `enginery build {spec.name} --dry-run` shows what would run there",
        )
    return chosen
