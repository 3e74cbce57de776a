"""The variants of a spec that a host builds, known before anything starts. Pure."""

from collections.abc import Sequence

from artifacts.hosts import HostFacts
from engine_specs.reading import suggestion
from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from flows.errors import BadArgument, HostUnsuitable
from tasks.comparison import HostVariants, divide_by_host


def variants_named(specs: Sequence[Spec], only: str | None) -> list[tuple[Spec, tuple[ResolvedVariant, ...]]]:
    """Return each spec with all of its variants, or only with the one of that name.

    Raises:
        BadArgument: none of the specs has a variant of that name.
    """
    names = [variant.name for spec in specs for variant in spec.variants]
    if only is not None and only not in names:
        spec_names = ", ".join(spec.name for spec in specs)
        subject = f"spec {spec_names} has" if len(specs) == 1 else f"specs {spec_names} have"
        raise BadArgument(
            f"{subject} no variant {only!r}",
            fix=f"{suggestion(only, names)}the variants are: {', '.join(dict.fromkeys(names))}",
        )
    return [
        (spec, tuple(variant for variant in resolve_variants(spec) if only in {None, variant.name}))
        for spec in specs
    ]


def variants_here(spec: Spec, only: str | None, facts: HostFacts) -> HostVariants:
    """Return the variants to build on a host, and those that only other hosts can build.

    Raises:
        BadArgument: the spec has no variant of that name.
        HostUnsuitable: none of them can be built on this host.
    """
    ((_, named),) = variants_named([spec], only)
    chosen = divide_by_host(named, facts)
    if not chosen.here:
        raise HostUnsuitable(
            f"spec {spec.name} cannot be built here: {chosen.left_out}",
            fix=f"build it on a suitable host; `enginery build {spec.name} --dry-run` shows what would run",
        )
    return chosen
