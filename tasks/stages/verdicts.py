"""Verdicts of this host and of others: kept when a variant is judged, gathered when a release is published.

Each host builds the variants that it has the hardware for; a release holds the verdicts of all of them. A
verdict is used in a release if it was reached for the same commit of the checkpoint, the same declared
version, and the same declarations of the spec about the variant (`basis`).
"""

from collections.abc import Sequence

from pydantic import Field

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from artifacts.hosts import gpus_in_words, probe_host
from artifacts.releases import KeptVerdict, VariantRelease, VerdictKey, keep_verdict, newest_verdict
from artifacts.store import Store
from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from tasks.comparison import references_of
from tasks.judging import WAY_OF_JUDGING
from tasks.judging.decide import verdict_table
from tasks.judging.gates import WAY_OF_COUNTING
from tasks.stages.baseline import hoped_speedup


class Gathered(Frozen):
    """What is known about a spec's variants for one commit."""

    entries: tuple[VariantRelease, ...] = Field(description="Judged variants, in the order of the spec.")
    carried: tuple[str, ...] = Field(description="Those that other runs judged, with host and time.")
    missing: tuple[str, ...] = Field(description="Variants not judged yet, with the host each needs.")
    missing_required: tuple[str, ...] = Field(description="The required ones of these.")


def basis(spec: Spec, variant: ResolvedVariant) -> str:
    """Return the digest of everything that decides how one variant is built and judged.

    It covers what the spec says, except the commit of the checkpoint, and how this version of enginery
    judges: against which references, with what hopes before it compiles, by which table. It leaves
    out the other variants, the channels, and whether this one is required: none of these is judged.
    """
    asked = variant.model_dump(mode="json", exclude={"required", "target"})
    references = references_of(spec, variant).taken
    return digest_of(
        {
            "checkpoint": spec.checkpoint.repo,
            "compile": spec.compile,
            "variant": asked | {"target": variant.target.name},
            "workload": spec.workload.model_dump(mode="json"),
            "validation": spec.validation.model_dump(mode="json"),
            "economics": spec.economics.at(variant.target.name).model_dump(mode="json"),
            "judged by": [*WAY_OF_JUDGING, WAY_OF_COUNTING],
            "references": [
                [one.side.name, one.side.roles, one.side.serve.model_dump(mode="json")] for one in references
            ],
            "hoped": hoped_speedup(variant).ratio,
            "table": [[row.id, dict(row.when), row.verdict] for row in verdict_table()],
        }
    )


def verdict_key(spec: Spec, variant: ResolvedVariant, commit: str) -> VerdictKey:
    """Return the key under which a verdict on a variant is kept."""
    return VerdictKey(
        name=spec.name, version=spec.version, commit=commit, variant=variant.name, basis=basis(spec, variant)
    )


def keep(
    store: Store, spec: Spec, variant: ResolvedVariant, commit: str, entry: VariantRelease
) -> KeptVerdict:
    """Keep a verdict that this host reached, whether or not a release follows."""
    facts = probe_host()
    host = f"{facts.machine} with {gpus_in_words(facts)}" if facts.gpus else facts.machine
    return keep_verdict(store, verdict_key(spec, variant, commit), entry, host)


def gather(store: Store, spec: Spec, commit: str, judged: Sequence[VariantRelease]) -> Gathered:
    """Gather the verdicts on all variants of a spec: those in `judged`, otherwise the newest ones kept."""
    own = {entry.name: entry for entry in judged}
    entries: list[VariantRelease] = []
    carried: list[str] = []
    missing: list[ResolvedVariant] = []
    for variant in resolve_variants(spec):
        kept = None if variant.name in own else newest_verdict(store, verdict_key(spec, variant, commit))
        if variant.name in own:
            entries.append(own[variant.name])
        elif kept is None:
            missing.append(variant)
        else:
            entries.append(kept.entry.model_copy(update={"required": variant.required}))
            carried.append(f"{variant.name} (judged {kept.judged_at:%Y-%m-%d %H:%M} UTC on {kept.host})")
    return Gathered(
        entries=tuple(entries),
        carried=tuple(carried),
        missing=tuple(map(_needs, missing)),
        missing_required=tuple(_needs(one) for one in missing if one.required),
    )


def _needs(variant: ResolvedVariant) -> str:
    target = variant.target
    host = f"{variant.devices} x {target.description}" if target.gpu else target.description
    return f"{variant.name} (needs {host}: target {target.name})"
