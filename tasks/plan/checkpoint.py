"""What a plan knows of a checkpoint: from the store, else from the Hub, else from this package's own copy.

The copy is for planning alone: where the Hub is out of reach, or does not let us read (gated repositories), a
plan still tells whether an engine can fit. A build never uses it.
"""

from typing import Any, Literal

from pydantic import Field

from artifacts.errors import StoreUnreachable
from artifacts.frozen import Frozen
from engine_specs.preflight import vendored_checkpoint
from engine_specs.reading import Problem
from engine_specs.spec import Spec
from tasks.errors import CheckpointUnavailable, CheckpointUnsupported, HubUnreachable
from tasks.hub import CheckpointFacts, Repository, Resolved
from tasks.hub import checkpoint as fetch
from tasks.runs import Pipeline
from tasks.stages import Sources, checkpoint_facts

HUB_CLOSED = (HubUnreachable, CheckpointUnavailable)


class HubClosed(Frozen):
    """The Hub does not answer, or does not let us read."""

    reason: str = Field(description="Why, as the Hub's client says it.")


class Metadata(Frozen):
    """What pre-flight judges by."""

    origin: Literal["checkpoint", "vendored"] = Field(description="The checkpoint itself, or our own copy.")
    reason: str = Field(description="Where it comes from, and why from there.")
    config: dict[str, Any] = Field(description="Content of config.json.")
    file_bytes: dict[str, int] = Field(description="Size of each file, by path.")


class NoMetadata(Frozen):
    """Nothing is known of the checkpoint: neither Hub nor package tells, or what it holds is refused."""

    reason: str = Field(description="Why not.")
    problems: tuple[Problem, ...] = Field(default=(), description="What is wrong with the checkpoint itself.")


def planned_commit(sources: Sources) -> Resolved | HubClosed:
    """The commit of a checkpoint; HubClosed if only the Hub could say and does not."""
    try:
        return sources.checkpoint
    except HUB_CLOSED as error:
        return HubClosed(reason=error.what)


def planned_metadata(
    pipeline: Pipeline, spec: Spec, commit: Resolved | HubClosed, sources: Sources
) -> Metadata | NoMetadata:
    """Configuration and file sizes of a checkpoint, from whoever knows them."""
    if isinstance(commit, HubClosed):
        return _vendored(spec, commit)
    try:
        facts = _facts(pipeline, spec, commit.commit, sources)
    except HUB_CLOSED as error:
        return _vendored(spec, HubClosed(reason=error.what))
    except CheckpointUnsupported as error:
        problem = Problem("checkpoint.repo", error.what, error.fix)
        return NoMetadata(reason=f"not judged: {error.what}", problems=(problem,))
    reason = f"judged by config.json and file sizes of {spec.checkpoint.repo} at {commit.commit[:12]}"
    return Metadata(origin="checkpoint", reason=reason, config=facts.config, file_bytes=facts.file_bytes)


def _facts(pipeline: Pipeline, spec: Spec, commit: str, sources: Sources) -> CheckpointFacts:
    try:
        return checkpoint_facts(pipeline, spec, commit, sources.access)
    except StoreUnreachable:
        repo = Repository(kind="model", id=spec.checkpoint.repo)
        return fetch.metadata(repo, commit, sources.access, pipeline.say)


def _vendored(spec: Spec, closed: HubClosed) -> Metadata | NoMetadata:
    repo = spec.checkpoint.repo
    found = vendored_checkpoint(repo)
    if found is None:
        return NoMetadata(reason=f"not judged: {repo} is known once the Hub answers ({closed.reason})")
    at = f"at {found.revision[:12]}" if found.revision else "at a commit that was not established"
    reason = (
        f"judged by this package's own copy of config.json and file sizes of {repo} {at}, as the Hub does "
        f"not tell: {closed.reason}"
    )
    return Metadata(origin="vendored", reason=reason, config=found.config, file_bytes=found.file_bytes)
