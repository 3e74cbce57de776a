"""Pre-flight of a variant by all that is known: its checkpoints, this host, its kind and the gates.

A plan and a build ask here, so they refuse the same, and warn of the same.
"""

import datetime as dt
from collections.abc import Iterable
from functools import partial

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import probe_host
from artifacts.settings import Settings
from engine_specs.preflight import (
    DraftCheckpoint,
    Examination,
    ReadyMade,
    ServedMemory,
    VendoredCheckpoint,
    examine,
    examine_unknown,
)
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds, load_llm_args
from tasks.comparison import References, accuracy_plan, divide_by_host, references_of, served_memory
from tasks.hosts import free_disk_bytes, host_memory_bytes
from tasks.hub import CheckpointFacts, HubAccess
from tasks.judging import AccuracyPlan
from tasks.judging.gates import sample_warnings
from tasks.kinds import kind_named, unchecked_args
from tasks.runs import Pipeline
from tasks.stages import build, draft_facts, ready_made_facts, stored_of
from tasks.toolchains import end_of_life_warnings


class KnownCheckpoints(Frozen):
    """What is known of all the checkpoints that a variant names."""

    base: CheckpointFacts | VendoredCheckpoint = Field(description="The spec's checkpoint.")
    ready_made: ReadyMade | None = Field(description="The ready-made one; null: the variant names none.")
    draft: DraftCheckpoint | None = Field(description="The one that drafts; null: the variant names none.")

    def served_memory(self, spec: Spec, variant: ResolvedVariant) -> ServedMemory | None:
        """Return what each side takes of a device; None as `tasks.comparison.served_memory`."""
        base, stored = self.base, stored_of(self.ready_made)
        return served_memory(spec, variant, base.config, base.file_bytes, stored, self.draft)


class UnknownCheckpoints(Frozen):
    """At least one of the checkpoints that a variant names is not known."""

    problems: tuple[Problem, ...] = Field(description="Why one of them cannot be used.")
    warnings: tuple[str, ...] = Field(description="Why one of them could not be judged.")


class BuildRoom(Frozen):
    """The room that the host has on which a variant would be built."""

    disk_bytes: int | None = Field(description="Free bytes of its disk; null: not judged.")
    memory_bytes: int | None = Field(description="Bytes of its memory; null: not judged.")


NOT_JUDGED = BuildRoom(disk_bytes=None, memory_bytes=None)


def read_checkpoints(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, base: CheckpointFacts, access: HubAccess
) -> KnownCheckpoints:
    """Return what store and Hub say of the checkpoints of a variant.

    Args:
        pipeline: gives the store.
        spec: its spec.
        variant: the variant.
        base: what is known of the spec's checkpoint.
        access: the Hub.

    Raises:
        tasks.errors.CheckpointUnsupported, CheckpointUnavailable, HubUnreachable: as `tasks.hub.checkpoint`.
    """
    return KnownCheckpoints(
        base=base,
        ready_made=ready_made_facts(pipeline, spec, variant, base, access),
        draft=draft_facts(pipeline, spec, variant, access),
    )


def room_here(variant: ResolvedVariant, settings: Settings, *, fetched: bool) -> BuildRoom:
    """Return the room that this host has for building a variant, as far as that is to be judged.

    Args:
        variant: the variant; of one that another host builds, nothing is.
        settings: say which disk takes what is fetched and built.
        fetched: whether the store holds the spec's checkpoint: then there was room on the disk before it was
            fetched, and it is not asked for again.
    """
    if not builds_here(variant):
        return NOT_JUDGED
    return BuildRoom(
        disk_bytes=None if fetched else free_disk_bytes(settings), memory_bytes=host_memory_bytes()
    )


def examine_variant(
    spec: Spec,
    variant: ResolvedVariant,
    checkpoints: KnownCheckpoints | UnknownCheckpoints,
    room: BuildRoom = NOT_JUDGED,
) -> Examination:
    """Judge a variant.

    Args:
        spec: its spec.
        variant: the variant.
        checkpoints: what is known of its checkpoints.
        room: what the host that would build it has.
    """
    if isinstance(checkpoints, UnknownCheckpoints):
        found = examine_unknown(variant, checkpoints.problems)
        found = found.model_copy(update={"warnings": (*found.warnings, *checkpoints.warnings)})
    else:
        found = examine(
            spec,
            variant,
            checkpoints.base.config,
            checkpoints.base.file_bytes,
            small=checkpoints.base.small,
            ready_made=checkpoints.ready_made,
            draft=checkpoints.draft,
            free_disk_bytes=room.disk_bytes,
            host_memory_bytes=room.memory_bytes,
        )
    toolchains = toolchains_by_role(variant, references_here(spec, variant)).values()
    return found.model_copy(
        update={
            "problems": (*kind_named(variant.engine.kind).option_problems(variant), *found.problems),
            "warnings": (
                *found.warnings,
                *unchecked_warnings(variant),
                *sample_warnings(spec.validation.accuracy.samples, partial(_asked, spec, variant)),
                *end_warnings(variant, toolchains, dt.datetime.now(dt.UTC).date()),
            ),
        }
    )


def _asked(spec: Spec, variant: ResolvedVariant, samples: int) -> AccuracyPlan:
    """Return what is asked of a variant with another number of texts, as far as no checkpoint is needed."""
    accuracy = spec.validation.accuracy.model_copy(update={"samples": samples})
    validation = spec.validation.model_copy(update={"accuracy": accuracy})
    return accuracy_plan(spec.model_copy(update={"validation": validation}), variant.shape, (), "")


def builds_here(variant: ResolvedVariant) -> bool:
    """Whether this host has the hardware that a variant is built on."""
    return bool(divide_by_host([variant], probe_host()).here)


def references_here(spec: Spec, variant: ResolvedVariant) -> References:
    """Return the references of a variant; what this host's CPU decides is known only if it builds it."""
    features = probe_host().cpu_features if builds_here(variant) else ()
    return references_of(spec, variant, cpu_features=features)


def toolchains_by_role(variant: ResolvedVariant, references: References) -> dict[str, str]:
    """Return the names of the toolchains that make a variant and serve both sides, by role."""
    return build.toolchains_of(variant) | {"reference": references.taken[0].side.serve.toolchain}


def unchecked_warnings(variant: ResolvedVariant) -> tuple[str, ...]:
    """Return a sentence about passed arguments that no table holds; none if there are none."""
    names = unchecked_args(variant)
    if not names:
        return ()
    release = load_llm_args()[variant.engine.kind].release
    where = f"variants.{variant.name}.engine.llm_args"
    return (f"{where}: nothing checks {', '.join(names)}, which the table of {release} does not have",)


def end_warnings(variant: ResolvedVariant, toolchains: Iterable[str], today: dt.date) -> tuple[str, ...]:
    """Return one sentence for the kind and each toolchain whose upstream line has ended or will end."""
    kind = load_kinds()[variant.engine.kind]
    own = (kind.end_of_life.warning(f"kind {kind.name}", today),) if kind.end_of_life else ()
    return (*own, *end_of_life_warnings(toolchains, today))
