"""Pre-flight: what can be refused from metadata alone, before anything is downloaded, loaded or compiled.

Invariants:
- Pure: it reads a checkpoint's config.json, other small files and the sizes of its files, which are passed
  in, as is what this host has.
- Whatever a worker would refuse by these files is refused here: a worker runs hours later.
- All problems are reported at once, each with the nearest setting that would fit.
- What needs a stage's output (such as the bits that a recipe file chooses) is not judged but reported as
  "known after" that stage.
"""

from collections.abc import Mapping

from pydantic import Field

from engine_specs.preflight.build_host import DiskEstimate, required_disk
from engine_specs.preflight.checkpoint import (
    DraftCheckpoint,
    checkpoint_problems,
    draft_problems,
    drafting_facts,
    source_problems,
    source_template_problems,
    source_template_warnings,
    template_problems,
)
from engine_specs.preflight.decoder import Config, decoder_config
from engine_specs.preflight.memory import MemoryEstimate, estimate_memory
from engine_specs.preflight.model_facts import ModelFacts, UnknownFacts, read_model_facts
from engine_specs.preflight.parallel import dimension_problems, head_problems, parallel_problems
from engine_specs.preflight.positions import length_problems, position_problems
from engine_specs.preflight.quantized_checkpoint import (
    NOTHING_MORE,
    ReadyMade,
    SmallFiles,
    quantized_problems,
    ready_made_problems,
    size_problems,
    stored_weights,
    tensor_problems,
)
from engine_specs.preflight.room import (
    disk_problems,
    host_memory_problems,
    memory_problems,
    reference_warnings,
)
from engine_specs.preflight.support import support_problems, table_problems, task_problems
from engine_specs.reading import Problem, StrictFrozen
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import KindFacts, load_kinds


class Examination(StrictFrozen):
    """What pre-flight finds for one variant on one checkpoint."""

    problems: tuple[Problem, ...] = Field(description="Every reason why it cannot work, and what would.")
    warnings: tuple[str, ...] = Field(description="What may go wrong, but need not.")
    memory: MemoryEstimate | None = Field(description="One device's memory; null: config.json lacks sizes.")
    disk: DiskEstimate | None = Field(description="The building host's disk; null: config.json lacks sizes.")


def examine(
    spec: Spec,
    variant: ResolvedVariant,
    config: Config,
    file_bytes: Mapping[str, int],
    *,
    small: SmallFiles = NOTHING_MORE,
    ready_made: ReadyMade | None = None,
    draft: DraftCheckpoint | None = None,
    free_disk_bytes: int | None = None,
    host_memory_bytes: int | None = None,
) -> Examination:
    """Judge a variant, and show the arithmetic.

    Args:
        spec: the spec, for the checkpoint and the workload that it names.
        variant: one of its resolved variants.
        config: the checkpoint's config.json.
        file_bytes: size in bytes of each file of the checkpoint, by its path in the repository.
        small: its other small files and the types of its tensors, as far as they were read.
        ready_made: what is known of the variant's ready-made checkpoint, if it has one.
        draft: what is known of the checkpoint that drafts tokens, if it has one.
        free_disk_bytes: free disk of the host that would build; None if another host builds.
        host_memory_bytes: memory of that host, likewise.
    """
    kind, whole, config = load_kinds()[variant.engine.kind], config, decoder_config(config)
    model = read_model_facts(config, file_bytes)
    known = (
        *checkpoint_problems(spec.checkpoint.repo, kind, whole, file_bytes, small),
        *support_problems(spec.checkpoint.repo, variant, kind, config),
        *task_problems(spec, kind),
        *template_problems(spec, file_bytes, small),
        *(_source_problems(spec, variant, kind, config, ready_made) if ready_made else ()),
        *draft_problems(variant, kind, config, draft),
    )
    if isinstance(model, UnknownFacts):
        return Examination(problems=known + model.problems, warnings=(), memory=None, disk=None)
    # The first of these explains the others: quantized weights are of another size, and have other tensors.
    if not any(quantized_problems(spec.checkpoint.repo, whole, file_bytes, small)):
        known += tuple(size_problems(spec.checkpoint.repo, model)) or tuple(
            tensor_problems(spec.checkpoint.repo, model, small)
        )
    known += tuple(position_problems(spec.checkpoint.repo, variant, kind, config))
    computed = model.computed_by(kind, variant.target.accelerator)
    if ready_made is not None:
        stored = stored_weights(ready_made.config, ready_made.file_bytes, ready_made.small)
        computed = computed.model_copy(update={"ready_made": stored})
    computed = _with_draft(variant, computed, config, draft)
    disk = required_disk(variant, computed, file_bytes)
    room = (
        *disk_problems(disk, free_disk_bytes),
        *host_memory_problems(variant, computed, host_memory_bytes),
    )
    warnings = tuple(source_template_warnings(variant, ready_made)) if ready_made else ()
    found = Examination(problems=(*known, *room), warnings=warnings, memory=None, disk=disk)
    return _with_sizes(spec, variant, computed, found)


def _with_draft(
    variant: ResolvedVariant, model: ModelFacts, config: Config, draft: DraftCheckpoint | None
) -> ModelFacts:
    """Return the facts of a model with those of what drafts for it, computed as the engine is."""
    facts = drafting_facts(variant, model, config, draft)
    if facts is None:
        return model
    computed = facts.computed_by(load_kinds()[variant.engine.kind], variant.target.accelerator)
    return model.model_copy(update={"draft": computed})


def _source_problems(
    spec: Spec, variant: ResolvedVariant, kind: KindFacts, config: Config, source: ReadyMade
) -> tuple[Problem, ...]:
    return (
        *source_problems(variant, source),
        *ready_made_problems(variant, kind, config, source),
        *source_template_problems(spec, variant, source),
    )


def examine_unknown(variant: ResolvedVariant, problems: tuple[Problem, ...]) -> Examination:
    """Judge a variant whose checkpoint is not known, by the tables alone; `problems` are known already."""
    kind = load_kinds()[variant.engine.kind]
    known = (*problems, *table_problems(variant, kind))
    return Examination(problems=known, warnings=(), memory=None, disk=None)


def _with_sizes(spec: Spec, variant: ResolvedVariant, model: ModelFacts, found: Examination) -> Examination:
    """Add to what was found what follows from the sizes of the model."""
    problems = (
        *found.problems,
        *length_problems(variant, model),
        *parallel_problems(variant, model),
        *head_problems(variant, model),
        *dimension_problems(variant, model),
        *memory_problems(spec, variant, model),
    )
    warnings = (*found.warnings, *reference_warnings(spec, variant, model))
    memory = estimate_memory(variant, model)
    return found.model_copy(update={"problems": problems, "warnings": warnings, "memory": memory})
