"""What a build would do, and why: pre-flight of every variant, then stage by stage what the store holds.

Invariants:
- Nothing is built, fetched or measured: a plan looks up the same nodes that a build runs.
- A plan needs neither the Hub nor the store: it says what was unavailable, and what is therefore unknown.
"""

import datetime as dt

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import probe_host
from engine_specs.spec import ResolvedVariant, Spec
from tasks.commands import symbols
from tasks.hosts import free_disk_bytes
from tasks.hub import HubAccess
from tasks.plan.checkpoint import HubUnavailable, NoMetadata, planned_commit, planned_metadata
from tasks.plan.commands import stage_commands
from tasks.plan.lookup import Lookup
from tasks.plan.records import PlannedStage, StageCommands
from tasks.plan.toolchains import HostToolchains
from tasks.plan.variant import PlannedVariant, plan_variant
from tasks.runs import Pipeline
from tasks.stages import Sources, SpecGraph


class SpecPlan(Frozen):
    """The plan of a spec: variants judged by metadata, and stages in the order in which they would run."""

    spec: str = Field(description="Name of the spec.")
    version: str = Field(description="Declared major.minor.")
    checkpoint: str = Field(description="Repository of the checkpoint.")
    commit: str | None = Field(description="Commit of the checkpoint; null if only the Hub knows it.")
    commit_reason: str = Field(description="How the commit was chosen, or why it is not known.")
    metadata: str = Field(description="What the variants are judged by, or why they are not.")
    variants: tuple[PlannedVariant, ...] = Field(description="The variants, as pre-flight judges them.")
    stages: tuple[PlannedStage, ...] = Field(description="The stages, looked up.")
    commands: tuple[StageCommands, ...] = Field(
        default=(), description="What each stage would run; empty unless asked for."
    )
    placeholders: dict[str, str] = Field(
        default_factory=dict, description="What each placeholder in the commands stands for."
    )
    passed_variables: tuple[str, ...] = Field(
        default=(),
        description="Variables that every command also gets, if they are set: those that are passed on from "
        "the environment, and those that this host hands to tools on purpose.",
    )

    @property
    def work(self) -> tuple[PlannedStage, ...]:
        """The stages that would run, or might."""
        return tuple(stage for stage in self.stages if stage.state in {"miss", "unknown"})

    @property
    def refused(self) -> bool:
        """Whether pre-flight refuses any of the variants."""
        return any(variant.refused for variant in self.variants)


def plan_spec(
    pipeline: Pipeline,
    spec: Spec,
    access: HubAccess,
    variants: tuple[ResolvedVariant, ...],
    toolchains: HostToolchains | None = None,
    *,
    commands: bool = False,
) -> SpecPlan:
    """Judge variants of a spec, and look up their stages.

    Args:
        pipeline: settings and store.
        spec: the spec.
        access: the Hub.
        variants: the variants to plan.
        toolchains: what earlier plans of the same command found out; None to find it out anew.
        commands: whether to include the commands.

    Raises:
        tasks.errors.TaskError: the spec's texts or revisions cannot be used, whatever Hub and store answer.
    """
    sources = Sources(spec, access)
    commit = planned_commit(sources)
    metadata = planned_metadata(pipeline, spec, commit, sources)
    tools = toolchains or HostToolchains(pipeline.settings)
    config = None if isinstance(metadata, NoMetadata) else metadata.config
    graph = SpecGraph(spec, variants, probe_host().cpu_features)
    lookup = Lookup(pipeline, sources, tools)
    stages = tuple(lookup.stages(graph))
    # If the store holds the checkpoint, room on the disk was checked before it was fetched.
    free_disk = None if stages[0].state == "hit" else free_disk_bytes(pipeline.settings)
    today = dt.datetime.now(dt.UTC).date()
    plan = SpecPlan(
        spec=spec.name,
        version=spec.version,
        checkpoint=spec.checkpoint.repo,
        commit=None if isinstance(commit, HubUnavailable) else commit.commit,
        commit_reason=commit.reason,
        metadata=metadata.reason,
        variants=tuple(
            plan_variant(spec, one, metadata, tools, free_disk=free_disk, today=today) for one in variants
        ),
        stages=stages,
    )
    if not commands:
        return plan
    written = {
        "commands": tuple(stage_commands(graph, tools.identity, lookup.trees, config)),
        "placeholders": symbols.MEANINGS,
        "passed_variables": (*symbols.PASSED_VARIABLES, *sorted(pipeline.settings.tool_env)),
    }
    return plan.model_copy(update=written)
