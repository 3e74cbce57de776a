"""What a build would do, and why: pre-flight of every variant, then stage by stage what the store holds.

Invariants:
- Nothing is built, fetched or measured: a plan looks up the same nodes that a build runs.
- A plan needs neither the Hub nor the store: it says what was unavailable, and what is therefore unknown.
"""

from functools import cache, partial

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import probe_host
from engine_specs.spec import ResolvedVariant, Spec
from tasks.hub import HubAccess
from tasks.plan.checkpoint import PlannedCheckpoint, plan_checkpoint, plan_draft, plan_source
from tasks.plan.commands import stage_work
from tasks.plan.lookup import Lookup
from tasks.plan.placeholders import MEANINGS, PASSED_VARIABLES
from tasks.plan.records import FindToolchain, PlannedStage
from tasks.plan.variant import PlannedVariant, plan_variant
from tasks.runs import Pipeline
from tasks.stages import Sources, SpecGraph
from tasks.toolchains import status


class SpecPlan(Frozen):
    """The plan of a spec: variants judged by metadata, and stages in the order in which they would run."""

    spec: str = Field(description="Name of the spec.")
    version: str = Field(description="Declared major.minor.")
    checkpoint: PlannedCheckpoint = Field(description="The checkpoint, and what variants are judged by.")
    variants: tuple[PlannedVariant, ...] = Field(description="The variants, as pre-flight judges them.")
    stages: tuple[PlannedStage, ...] = Field(description="The stages, looked up.")
    placeholders: dict[str, str] = Field(
        default_factory=dict, description="What each placeholder in the commands stands for."
    )
    passed_variables: tuple[str, ...] = Field(
        default=(),
        description="Variables that every command also gets, if they are set: those that are passed on from "
        "the environment, and those that this host hands to tools on purpose.",
    )

    @property
    def refused(self) -> bool:
        """Whether pre-flight refuses any of the variants."""
        return any(variant.problems for variant in self.variants)


def plan_spec(
    pipeline: Pipeline,
    spec: Spec,
    access: HubAccess,
    variants: tuple[ResolvedVariant, ...],
    find_toolchain: FindToolchain | None = None,
    *,
    commands: bool = False,
) -> SpecPlan:
    """Judge variants of a spec, and look up their stages.

    Args:
        pipeline: settings and store.
        spec: the spec.
        access: the Hub.
        variants: the variants to plan.
        find_toolchain: returns a toolchain of this host, or why it is not installed; None to ask the host.
        commands: whether to say what each stage would run.

    Raises:
        tasks.errors.TaskError: the spec's texts or revisions cannot be used, whatever Hub and store answer.
    """
    sources = Sources(spec, access)
    checkpoint = plan_checkpoint(pipeline, spec, sources)
    find = find_toolchain or cache(partial(status, settings=pipeline.settings))
    config = checkpoint.facts.config if checkpoint.facts else None
    work = partial(stage_work, find_toolchain=find, config=config) if commands else lambda _: None
    graph = SpecGraph(
        spec, variants, probe_host().cpu_features, pipeline.settings.placement, pipeline.settings.quiet_host
    )
    stages = tuple(Lookup(pipeline, sources, find, work).stages(graph))
    return SpecPlan(
        spec=spec.name,
        version=spec.version,
        checkpoint=checkpoint,
        variants=tuple(
            plan_variant(
                spec,
                one,
                checkpoint,
                plan_source(pipeline, spec, one, checkpoint, access),
                plan_draft(pipeline, spec, one, access),
                find,
                pipeline.settings,
                fetched=stages[0].state == "hit",
            )
            for one in variants
        ),
        stages=stages,
        placeholders=MEANINGS if commands else {},
        passed_variables=(*PASSED_VARIABLES, *sorted(pipeline.settings.tool_env)) if commands else (),
    )
