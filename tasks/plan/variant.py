"""What a plan says about a variant besides its stages: pre-flight with its figures, and toolchains."""

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import probe_host
from artifacts.settings import Settings
from engine_specs.preflight import Examination
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import placement_here, window_groups
from tasks.errors import GpusUnavailable, PlacementImpossible
from tasks.judging import WindowGroup
from tasks.plan.checkpoint import PlannedCheckpoint, PlannedDraft, PlannedSource
from tasks.plan.preflight import (
    KnownCheckpoints,
    UnknownCheckpoints,
    builds_here,
    examine_variant,
    references_here,
    room_here,
    toolchains_by_role,
)
from tasks.plan.records import FindToolchain
from tasks.toolchains import NotInstalled, Provenance, Toolchain


class PlannedReference(Frozen):
    """One reference that the engine would be held against."""

    name: str = Field(description="Its name in measurements and reports.")
    roles: tuple[str, ...] = Field(description="Roles in which it takes part.")
    why: str = Field(description="Why it takes part, as part of a sentence.")


class PlannedVariant(Examination):
    """One variant, judged by metadata; its warnings also say what reaches its end of life."""

    asked: ResolvedVariant = Field(description="The variant, with everything explicit.")
    placement: str = Field(
        description="Where and when its sides would be measured on this host, and why; or why they cannot "
        "be. Empty if another host builds it, or the model is not known."
    )
    references: tuple[PlannedReference, ...] = Field(
        description="References that the engine would be held against."
    )
    no_reference: dict[str, str] = Field(description="Why there is no reference in a role, by role.")
    accuracy: tuple[WindowGroup, ...] = Field(
        description="What the engine would be asked to find out how accurate it is: texts, by the length of "
        "contexts and continuations."
    )
    toolchains: dict[str, Provenance | NotInstalled] = Field(
        description="Toolchains that make it (quantize, build) and serve it (serve, reference), by role."
    )


def plan_variant(
    spec: Spec,
    variant: ResolvedVariant,
    checkpoint: PlannedCheckpoint,
    source: PlannedSource,
    draft: PlannedDraft,
    find_toolchain: FindToolchain,
    settings: Settings,
    *,
    fetched: bool,
) -> PlannedVariant:
    """Judge a variant by what is known about its checkpoint.

    Args:
        spec: its spec.
        variant: the variant.
        checkpoint: what is known of its checkpoint.
        source: what is known of its ready-made checkpoint, if it has one.
        draft: what is known of the checkpoint that drafts tokens, if it has one.
        find_toolchain: returns a toolchain of this host, or why it is not installed.
        settings: may say which placement of sides is wanted.
        fetched: whether the store holds the checkpoint, so that room for it on the disk is not asked for.
    """
    checkpoints = _checkpoints(variant, checkpoint, source, draft)
    examined = examine_variant(spec, variant, checkpoints, room_here(variant, settings, fetched=fetched))
    references = references_here(spec, variant)
    found = {role: find_toolchain(name) for role, name in toolchains_by_role(variant, references).items()}
    return PlannedVariant(
        asked=variant,
        problems=examined.problems,
        warnings=examined.warnings,
        placement=_placement(spec, variant, checkpoints, settings),
        references=tuple(
            PlannedReference(name=one.side.name, roles=one.side.roles, why=one.why)
            for one in references.taken
        ),
        no_reference={str(role): why for role, why in references.absent.items()},
        accuracy=window_groups(spec, variant.shape),
        memory=examined.memory,
        disk=examined.disk,
        toolchains={
            role: one.provenance() if isinstance(one, Toolchain) else one for role, one in found.items()
        },
    )


def _checkpoints(
    variant: ResolvedVariant, checkpoint: PlannedCheckpoint, source: PlannedSource, draft: PlannedDraft
) -> KnownCheckpoints | UnknownCheckpoints:
    """Return what is known of the checkpoints of a variant, if every one that it names is known."""
    drafts = variant.speculative.draft if variant.speculative else None
    missing = (variant.quantization.source and not source.facts) or (drafts and not draft.facts)
    if checkpoint.facts and not missing:
        return KnownCheckpoints(base=checkpoint.facts, ready_made=source.facts, draft=draft.facts)
    return UnknownCheckpoints(
        problems=(*checkpoint.problems, *source.problems, *draft.problems),
        warnings=tuple(one.warning for one in (source, draft) if one.warning),
    )


def _placement(
    spec: Spec,
    variant: ResolvedVariant,
    checkpoints: KnownCheckpoints | UnknownCheckpoints,
    settings: Settings,
) -> str:
    if isinstance(checkpoints, UnknownCheckpoints) or not builds_here(variant):
        return ""
    served = checkpoints.served_memory(spec, variant)
    try:
        return placement_here(spec, variant, served, probe_host(), settings, patience_s=0.0).text()
    except (GpusUnavailable, PlacementImpossible) as error:
        return f"none: {error.what} ({error.where})"
