"""publish: the judged variants of a spec become one immutable release, and its channels move.

Invariants:
- A release needs something to deploy in every required variant: a rejected or inconclusive one stops it.
- The publication's fingerprint is made of verdicts, trees and measurements: publishing the same again finds
  the release that is there.
- `release.json` is written last but for the channels; a run that is killed earlier leaves a gap in the
  numbers, or a number that its next attempt takes up again.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from artifacts import releases
from artifacts.canonical import digest_of
from artifacts.channels import move_channel
from artifacts.releases import DEPLOYABLE, Release, VariantRelease
from artifacts.stand_in import refuse_stand_in
from artifacts.versions import reserve_version
from engine_specs.models import Spec
from engine_specs.resolve import resolve_variants
from tasks.pipeline import Pipeline

NO_COMMIT = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A release that can be pulled."""

    release: Release
    channels: tuple[str, ...]
    already_there: bool


@dataclass(frozen=True, slots=True)
class Withheld:
    """No release, and why."""

    reason: str


def publish(
    pipeline: Pipeline, spec: Spec, commit: str, entries: Sequence[VariantRelease]
) -> Published | Withheld:
    """Publish judged variants, or say why not.

    Raises:
        artifacts.errors.StandInRefused: a stand-in of a tool made one of the trees; no version is taken.
        artifacts.errors.ArtifactError: the store does not answer, or holds something else under that version.
    """
    blocked = blocking(spec, entries)
    if blocked is not None:
        pipeline.say(f"publish {spec.name}: {blocked.reason}")
        return blocked
    for entry in entries:
        if entry.tree is not None:
            refuse_stand_in(pipeline.store, entry.tree, "published")
    release = _release(pipeline, spec, commit, entries)
    stored = releases.publish(pipeline.store, release)
    for channel in spec.channels:
        move_channel(pipeline.store, channel, stored, "published by the build")
    already_there = stored.created_at != release.created_at
    state = "is there already" if already_there else "published"
    channels = ", ".join(spec.channels) or "none"
    pipeline.say(f"publish: {spec.name} {stored.version} {state}; channels: {channels}")
    return Published(stored, spec.channels, already_there)


def blocking(spec: Spec, entries: Sequence[VariantRelease]) -> Withheld | None:
    """Why these variants cannot be released, if they cannot."""
    judged = {entry.name for entry in entries}
    missing = [one.name for one in resolve_variants(spec) if one.required and one.name not in judged]
    if missing:
        return Withheld(f"required variants were not judged: {', '.join(missing)}")
    failed = [
        f"{one.name} is {one.verdict}" for one in entries if one.required and one.verdict not in DEPLOYABLE
    ]
    if failed:
        return Withheld(f"nothing to deploy in a required variant: {'; '.join(failed)}")
    if not any(entry.verdict in DEPLOYABLE for entry in entries):
        return Withheld("no variant has anything to deploy")
    return None


def _release(pipeline: Pipeline, spec: Spec, commit: str, entries: Sequence[VariantRelease]) -> Release:
    fingerprint = publication_fingerprint(spec, entries)
    return Release(
        name=spec.name,
        version=reserve_version(pipeline.store, spec.name, spec.version, fingerprint),
        publication_fingerprint=fingerprint,
        created_at=datetime.now(UTC),
        checkpoint_repo=spec.checkpoint.repo,
        checkpoint_revision=commit,
        source_commit=_source_commit(),
        spec=spec.model_dump(mode="json"),
        variants=tuple(entries),
    )


def publication_fingerprint(spec: Spec, entries: Sequence[VariantRelease]) -> str:
    """What a publication consists of; reports are left out, as they hold the time at which they were made."""
    variants = [entry.model_dump(mode="json", exclude={"report"}) for entry in entries]
    return digest_of({"name": spec.name, "version": spec.version, "variants": variants})


def _source_commit() -> str:
    """The commit of the checkout that this code runs from; empty for an installed package."""
    here = Path(__file__).parent
    asked = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else NO_COMMIT
