"""publish: the judged variants of a spec become one immutable release, and its channels move.

Invariants:
- A release holds the newest verdict on each variant of the spec that was judged for this commit, on whichever
  host. Every required variant needs something to deploy: if one is rejected, inconclusive or not judged,
  there is no release.
- If two hosts publish at once, the later version holds what both judged: verdicts are kept before a version
  is reserved, and gathered again afterwards.
- The publication fingerprint is made of verdicts, trees and measurements: publishing the same again finds the
  existing release.
- `release.json` is written last, before the channels move; a run that is killed earlier leaves a gap in the
  version numbers, or a number that its next attempt uses. A channel that another host has moved to a newer
  patch with all of this release in it stays there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from artifacts.canonical import digest_of
from artifacts.releases import (
    DEPLOYABLE,
    Channel,
    Release,
    VariantRelease,
    move_channel,
    releases,
    reserve_version,
    version_key,
)
from artifacts.store import Store
from engine_specs.spec import Spec, resolve_variants
from tasks.evidence import source_commit
from tasks.runs import Pipeline
from tasks.stages.node import Inputs, Node
from tasks.stages.verdicts import Gathered, basis, gather


@dataclass(frozen=True, slots=True)
class Published:
    """A release that can be pulled.

    Attributes:
        release: the release.
        channels: channels that were moved to it, unless they already pointed to a newer patch.
        already_there: whether an earlier run had published the same.
        carried: variants that other runs judged, with host and time.
        missing: variants that no run has judged, with the host that each one needs.
    """

    release: Release
    channels: tuple[str, ...]
    already_there: bool
    carried: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Withheld:
    """There is no release, and why."""

    reason: str


class Publish(Node):
    """The publication of a spec's release."""

    stage = "publish"
    does = (
        "If every required variant has something to deploy: reserves the next patch number, writes "
        "releases/NAME/VERSION/release.json last, and moves the channels."
    )

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, "")

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  the spec is enough
        """Return name, version and channels."""
        spec = self.spec
        return {"name": spec.name, "version": f"{spec.version}.<patch>", "channels": list(spec.channels)}


def publish(
    pipeline: Pipeline, spec: Spec, commit: str, entries: Sequence[VariantRelease]
) -> Published | Withheld:
    """Publish the variants that this run and other hosts judged, or say why not.

    Args:
        pipeline: settings and store of the run.
        spec: the spec.
        commit: commit of the checkpoint.
        entries: what this run judged; for other variants, the newest kept verdicts are used.

    Raises:
        artifacts.errors.StandInRefused: a stand-in of a tool made one of the trees; no version is reserved.
        artifacts.errors.NotFound: the store lacks a tree, or a part of it; no version is reserved.
        artifacts.errors.ArtifactError: the store does not answer, or holds another release of that version.
    """
    reserved = _reserve(pipeline, spec, commit, entries)
    if isinstance(reserved, Withheld):
        pipeline.say(f"publish {spec.name}: {reserved.reason}")
        return reserved
    gathered, release = reserved
    stored = releases.publish(pipeline.store, release)
    for channel in spec.channels:
        move_channel(
            pipeline.store,
            channel,
            stored,
            "published by the build",
            leave=lambda now: _supersedes(pipeline.store, now, stored),
        )
    already_there = stored.created_at != release.created_at
    state = "was published before" if already_there else "published"
    channels = ", ".join(spec.channels) or "none"
    pipeline.say(f"publish: {spec.name} {stored.version} {state}; channels: {channels}")
    return Published(stored, spec.channels, already_there, gathered.carried, gathered.missing)


def blocking(spec: Spec, gathered: Gathered) -> Withheld | None:
    """Return why these variants cannot be released; None if they can."""
    reasons: list[str] = []
    failed = [
        f"{one.name} is {one.verdict}"
        for one in gathered.entries
        if one.required and one.verdict not in DEPLOYABLE
    ]
    if failed:
        reasons.append(f"required variants have nothing to deploy: {'; '.join(failed)}")
    if gathered.missing_required:
        reasons.append(
            f"no host has judged these required variants: {', '.join(gathered.missing_required)}; "
            f"build {spec.name} on such a host to publish"
        )
    if not reasons and not any(entry.verdict in DEPLOYABLE for entry in gathered.entries):
        reasons.append("no variant has anything to deploy")
    return Withheld("; ".join(reasons)) if reasons else None


def _reserve(
    pipeline: Pipeline, spec: Spec, commit: str, judged: Sequence[VariantRelease]
) -> tuple[Gathered, Release] | Withheld:
    """Reserve a version, and return the release with all verdicts kept before that.

    If other verdicts come in meanwhile, the version is given up, and stays a gap.
    """
    while True:
        gathered = gather(pipeline.store, spec, commit, judged)
        if blocked := blocking(spec, gathered):
            return blocked
        _report_others(pipeline, spec, gathered)
        releases.require_trees(pipeline.store, gathered.entries)
        fingerprint = publication_fingerprint(spec, gathered.entries)
        version = reserve_version(pipeline.store, spec.name, spec.version, fingerprint)
        if gather(pipeline.store, spec, commit, judged) == gathered:
            break
        pipeline.say(f"publish {spec.name}: another host judged meanwhile; version {version} is given up")
    release = Release(
        name=spec.name,
        version=version,
        publication_fingerprint=fingerprint,
        created_at=datetime.now(UTC),
        checkpoint_repo=spec.checkpoint.repo,
        checkpoint_revision=commit,
        source_commit=source_commit(),
        spec=spec.model_dump(mode="json"),
        variants=gathered.entries,
    )
    return gathered, release


def _report_others(pipeline: Pipeline, spec: Spec, gathered: Gathered) -> None:
    for one in gathered.carried:
        pipeline.say(f"publish {spec.name}: carried over: {one}")
    for one in gathered.missing:
        pipeline.say(f"publish {spec.name}: not judged yet, may be in a later patch: {one}")


def _supersedes(store: Store, channel: Channel, release: Release) -> bool:
    """Whether a channel points to a newer patch that holds every verdict of this release."""
    then, now = version_key(release.version), version_key(channel.version)
    if now[:2] != then[:2] or now <= then:
        return False
    theirs = [
        content(entry) for entry in releases.read_release(store, channel.name, channel.version).variants
    ]
    return all(content(entry) in theirs for entry in release.variants)


def publication_fingerprint(spec: Spec, entries: Sequence[VariantRelease]) -> str:
    """Return the digest of what is published: what the spec says of each variant, and its result."""
    asked = {variant.name: basis(spec, variant) for variant in resolve_variants(spec)}
    variants = [content(entry) | {"asked": asked[entry.name]} for entry in entries]
    return digest_of({"name": spec.name, "version": spec.version, "variants": variants})


def content(entry: VariantRelease) -> dict[str, Any]:
    """Return what identifies a published variant: its entry without report, evidence and sentences.

    These hold times and durations, which differ if a build was merely repeated, or say what came before. The
    measurements, whose ids count, are in the evidence.
    """
    return entry.model_dump(mode="json", exclude={"report", "evidence", "reasons", "since_last"})
