"""What a plan says about a variant besides its stages: pre-flight with its figures, and toolchains."""

import datetime as dt
from collections.abc import Iterable

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import HostFacts, probe_host
from artifacts.settings import Settings
from engine_specs.preflight import Examination, examine, examine_unknown
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds, load_llm_args
from tasks.comparison import divide_by_host, placement_here, references_of, served_memory, window_groups
from tasks.errors import GpusUnavailable, PlacementImpossible
from tasks.hosts import host_memory_bytes
from tasks.judging import WindowGroup
from tasks.judging.gates import too_few_texts
from tasks.kinds import kind_named, unchecked_args
from tasks.plan.checkpoint import PlannedCheckpoint, PlannedDraft, PlannedSource
from tasks.plan.records import FindToolchain
from tasks.stages import build, stored_of
from tasks.toolchains import NotInstalled, Provenance, Toolchain, end_of_life_warnings


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
    free_disk: int | None,
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
        free_disk: free bytes of this host's disk, used if it can build the variant; None: not checked.
    """
    facts = probe_host()
    builds_here = bool(divide_by_host([variant], facts).here)
    known = checkpoint.facts
    if known and _all_known(variant, source, draft):
        examined = examine(
            spec,
            variant,
            known.config,
            known.file_bytes,
            small=known.small,
            ready_made=source.facts,
            draft=draft.facts,
            free_disk_bytes=free_disk if builds_here else None,
            host_memory_bytes=host_memory_bytes() if builds_here else None,
        )
    else:
        examined = examine_unknown(variant, (*checkpoint.problems, *source.problems, *draft.problems))
    references = references_of(spec, variant, "", "", facts.cpu_features if builds_here else ())
    roles = build.toolchains_of(variant) | {"reference": references.taken[0].side.serve.toolchain}
    found = {role: find_toolchain(name) for role, name in roles.items()}
    ends = ends_of_life(variant, roles.values(), dt.datetime.now(dt.UTC).date())
    return PlannedVariant(
        asked=variant,
        problems=(*kind_named(variant.engine.kind).option_problems(variant), *examined.problems),
        warnings=(
            *examined.warnings,
            *unchecked_warnings(variant),
            *([few] if (few := too_few_texts(spec.validation.accuracy)) else []),
            *(one.warning for one in (source, draft) if one.warning),
            *ends,
        ),
        placement=_placement(spec, variant, checkpoint, source, draft, facts, settings)
        if builds_here
        else "",
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


def _all_known(variant: ResolvedVariant, source: PlannedSource, draft: PlannedDraft) -> bool:
    """Whether every further checkpoint that the variant names is known."""
    drafts = variant.speculative.draft if variant.speculative else None
    missing = (variant.quantization.source and not source.facts) or (drafts and not draft.facts)
    return not missing


def unchecked_warnings(variant: ResolvedVariant) -> tuple[str, ...]:
    """Return a sentence about passed arguments that no table holds; none if there are none."""
    names = unchecked_args(variant)
    if not names:
        return ()
    release = load_llm_args()[variant.engine.kind].release
    where = f"variants.{variant.name}.engine.llm_args"
    return (f"{where}: nothing checks {', '.join(names)}, which the table of {release} does not have",)


def _placement(
    spec: Spec,
    variant: ResolvedVariant,
    checkpoint: PlannedCheckpoint,
    source: PlannedSource,
    draft: PlannedDraft,
    facts: HostFacts,
    settings: Settings,
) -> str:
    if not (known := checkpoint.facts):
        return ""
    stored = stored_of(source.facts)
    served = served_memory(spec, variant, known.config, known.file_bytes, stored, draft.facts)
    try:
        return placement_here(spec, variant, served, facts, settings, patience_s=0.0).text()
    except (GpusUnavailable, PlacementImpossible) as error:
        return f"none: {error.what} ({error.where})"


def ends_of_life(variant: ResolvedVariant, toolchains: Iterable[str], today: dt.date) -> tuple[str, ...]:
    """Return one sentence for the kind and each toolchain whose upstream line has ended or will end."""
    kind = load_kinds()[variant.engine.kind]
    own = (kind.end_of_life.warning(f"kind {kind.name}", today),) if kind.end_of_life else ()
    return (*own, *end_of_life_warnings(toolchains, today))
