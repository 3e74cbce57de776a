"""`enginery build SPEC --dry-run`: what a dry run takes from this host, and what its exit code says."""

import os
from collections.abc import Callable

from artifacts.hosts import probe_host
from artifacts.settings import Settings
from artifacts.store import open_store
from engine_specs.spec import ResolvedVariant, Spec
from flows.demo.metadata import packaged_metadata
from flows.selection import named_variants
from flows.stack.environment import STORE_CHOICES, local_environment
from tasks.hub import HubAccess
from tasks.plan import DryRun, HostToolchains, HostView, Surroundings, planned_commit, planned_stages
from tasks.plan.dry_run import dry_run
from tasks.runs import Pipeline

DONE, REFUSED = 0, 2
Trees = dict[tuple[str, str], str]


def dry_run_here(spec: Spec, variant: str | None, settings: Settings, say: Callable[[str], None]) -> DryRun:
    """The dry run of a spec, or of one of its variants, with what this host knows of toolchains and trees.

    Raises:
        BadArgument: the spec has no such variant.
        TaskError: a kind refuses the options of a variant, or a file that the spec names cannot be used.
    """
    variants, tools = named_variants(spec, variant), HostToolchains(settings)
    trees = _stored_trees(spec, variants, tools, Pipeline(settings, open_store(settings), say=say))
    features = frozenset(probe_host().cpu_features)
    return dry_run(spec, variants, HostView(tools.identity, packaged_metadata(spec), trees, features))


def exit_code(plan: DryRun) -> int:
    """2 where pre-flight refuses the spec, else 0."""
    return REFUSED if plan.preflight.problems else DONE


def _stored_trees(
    spec: Spec, variants: tuple[ResolvedVariant, ...], tools: HostToolchains, pipeline: Pipeline
) -> Trees:
    """Trees that the named store holds already; none where no store is named, or where it does not answer."""
    os.environ.update(local_environment(pipeline.settings))
    if not any(os.environ.get(name) for name in STORE_CHOICES):
        return {}
    access = HubAccess.from_environment()
    around = Surroundings(pipeline, spec, access, tools)
    stages = planned_stages(around, planned_commit(spec, access), variants)
    return {(stage.stage, stage.variant): stage.tree for stage in stages if stage.tree is not None}
