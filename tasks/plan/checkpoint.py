"""What a plan knows of a checkpoint: from the store, otherwise from the Hub or this package's own copy.

The copy is only for planning: even if the Hub is unreachable, or does not allow reading (gated repositories),
a plan says whether an engine can fit. A build never uses it.
"""

from typing import Any

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

HUB_UNAVAILABLE = (HubUnreachable, CheckpointUnavailable)


class HubUnavailable(Frozen):
    """The Hub does not answer, or does not allow reading."""

    reason: str = Field(description="Why, in the words of the Hub's client.")


class Metadata(Frozen):
    """What pre-flight judges a checkpoint by."""

    reason: str = Field(description="Where it comes from, and why.")
    config: dict[str, Any] = Field(description="Content of config.json.")
    file_bytes: dict[str, int] = Field(description="Size of each file, by path.")


class NoMetadata(Frozen):
    """There is no metadata: neither Hub nor package has any, or the checkpoint is refused."""

    reason: str = Field(description="Why there is none.")
    problems: tuple[Problem, ...] = Field(default=(), description="What is wrong with the checkpoint itself.")


def planned_commit(sources: Sources) -> Resolved | HubUnavailable:
    """Return the commit of a checkpoint; HubUnavailable if only the Hub could say, and does not."""
    try:
        return sources.checkpoint
    except HUB_UNAVAILABLE as error:
        return HubUnavailable(reason=error.what)


def planned_metadata(
    pipeline: Pipeline, spec: Spec, commit: Resolved | HubUnavailable, sources: Sources
) -> Metadata | NoMetadata:
    """Return configuration and file sizes of a checkpoint, from the first source that has them."""
    if isinstance(commit, HubUnavailable):
        return _vendored(spec, commit)
    try:
        facts = _facts(pipeline, spec, commit.commit, sources)
    except HUB_UNAVAILABLE as error:
        return _vendored(spec, HubUnavailable(reason=error.what))
    except CheckpointUnsupported as error:
        problem = Problem("checkpoint.repo", error.what, error.fix)
        return NoMetadata(reason=f"not judged: {error.what}", problems=(problem,))
    reason = f"judged by config.json and file sizes of {spec.checkpoint.repo} at {commit.commit[:12]}"
    return Metadata(reason=reason, config=facts.config, file_bytes=facts.file_bytes)


def _facts(pipeline: Pipeline, spec: Spec, commit: str, sources: Sources) -> CheckpointFacts:
    try:
        return checkpoint_facts(pipeline, spec, commit, sources.access)
    except StoreUnreachable:
        repo = Repository(kind="model", id=spec.checkpoint.repo)
        return fetch.metadata(repo, commit, sources.access, pipeline.say)


def _vendored(spec: Spec, unavailable: HubUnavailable) -> Metadata | NoMetadata:
    repo = spec.checkpoint.repo
    found = vendored_checkpoint(repo)
    if found is None:
        return NoMetadata(reason=f"not judged: {repo} is known once the Hub answers ({unavailable.reason})")
    at = f"at {found.revision[:12]}" if found.revision else "at an unknown commit"
    reason = (
        f"judged by this package's own copy of config.json and file sizes of {repo} {at}, as the Hub is "
        f"unavailable: {unavailable.reason}"
    )
    return Metadata(reason=reason, config=found.config, file_bytes=found.file_bytes)
