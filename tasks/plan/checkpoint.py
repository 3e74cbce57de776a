"""What a plan knows of a checkpoint: from the store, otherwise from the Hub or this package's own copy.

The copy is only for planning: even if the Hub is unreachable, or does not allow reading (gated repositories),
a plan says whether an engine can fit. A build never uses it.
"""

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.preflight import DraftCheckpoint, ReadyMade, VendoredCheckpoint, vendored_checkpoint
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Spec
from tasks.errors import CheckpointUnavailable, CheckpointUnsupported, HubUnreachable
from tasks.hub import CheckpointFacts, HubAccess
from tasks.runs import Pipeline
from tasks.stages import Sources, checkpoint_facts, draft_facts, ready_made_facts

HUB_UNAVAILABLE = (HubUnreachable, CheckpointUnavailable)


class PlannedCheckpoint(Frozen):
    """A checkpoint, and what its variants are judged by."""

    repo: str = Field(description="Its repository.")
    commit: str | None = Field(description="Its commit; null if only the Hub knows it.")
    commit_reason: str = Field(description="How the commit was chosen, or why it is not known.")
    facts_reason: str = Field(description="What the variants are judged by, or why they are not.")
    problems: tuple[Problem, ...] = Field(description="Why no variant can use it.")
    facts: CheckpointFacts | VendoredCheckpoint | None = Field(
        default=None, exclude=True, description="Configuration and file sizes; None if they are not known."
    )


class PlannedDraft(Frozen):
    """The checkpoint that drafts tokens for a variant, as far as it is known."""

    facts: DraftCheckpoint | None = Field(description="config.json and sizes; null: it has none, or unknown.")
    problems: tuple[Problem, ...] = Field(default=(), description="Why it cannot be used.")
    warning: str = Field(default="", description="Why it could not be judged; empty if it was.")


class PlannedSource(Frozen):
    """A variant's ready-made checkpoint, as far as it is known."""

    facts: ReadyMade | None = Field(description="Its small files and sizes; null: it has none, or unknown.")
    problems: tuple[Problem, ...] = Field(default=(), description="Why it cannot be used.")
    warning: str = Field(default="", description="Why it could not be judged; empty if it was.")


def plan_source(
    pipeline: Pipeline,
    spec: Spec,
    variant: ResolvedVariant,
    checkpoint: PlannedCheckpoint,
    access: HubAccess,
) -> PlannedSource:
    """Return what is known of a variant's ready-made checkpoint; nothing if it names none."""
    field = f"variants.{variant.name}.quantization.source"
    base = checkpoint.facts if isinstance(checkpoint.facts, CheckpointFacts) else None
    try:
        return PlannedSource(facts=ready_made_facts(pipeline, spec, variant, base, access))
    except HUB_UNAVAILABLE as error:
        return PlannedSource(facts=None, warning=f"{field}: not judged until the Hub answers: {error.what}")
    except CheckpointUnsupported as error:
        return PlannedSource(facts=None, problems=(Problem(field, error.what, error.fix),))


def plan_draft(pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, access: HubAccess) -> PlannedDraft:
    """Return what is known of the checkpoint that drafts for a variant; nothing if it names none."""
    field = f"variants.{variant.name}.speculative.draft"
    try:
        return PlannedDraft(facts=draft_facts(pipeline, spec, variant, access))
    except HUB_UNAVAILABLE as error:
        return PlannedDraft(facts=None, warning=f"{field}: not judged until the Hub answers: {error.what}")
    except CheckpointUnsupported as error:
        return PlannedDraft(facts=None, problems=(Problem(field, error.what, error.fix),))


def plan_checkpoint(pipeline: Pipeline, spec: Spec, sources: Sources) -> PlannedCheckpoint:
    """Return what is known of a checkpoint, from the first source that has it."""
    repo, commit, commit_reason = spec.checkpoint.repo, None, ""
    facts: CheckpointFacts | VendoredCheckpoint | None = None
    problems: tuple[Problem, ...] = ()
    try:
        commit, commit_reason = sources.checkpoint.commit, sources.checkpoint.reason
        facts = checkpoint_facts(pipeline, spec, commit, sources.access)
        reason = f"judged by config.json and file sizes of {repo} at {commit[:12]}"
    except HUB_UNAVAILABLE as error:
        commit_reason = commit_reason or error.what
        reason = f"not judged: {repo} is known once the Hub answers ({error.what})"
        if facts := vendored_checkpoint(repo):
            at = f"at {facts.revision[:12]}" if facts.revision else "at an unknown commit"
            reason = (
                f"judged by this package's own copy of config.json and file sizes of {repo} {at}, as the Hub "
                f"is unavailable: {error.what}"
            )
    except CheckpointUnsupported as error:
        reason = f"not judged: {error.what}"
        problems = (Problem("checkpoint.repo", error.what, error.fix),)
    return PlannedCheckpoint(
        repo=repo,
        commit=commit,
        commit_reason=commit_reason,
        facts_reason=reason,
        problems=problems,
        facts=facts,
    )
