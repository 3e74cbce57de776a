"""Every verdict on the variants of a spec, with the speeds of both sides, and what changed in between.

Invariants:
- A verdict that was reached again from the same measurements is one entry.
- Each measurement is compared with the last accepted one before it: an engine that a release deploys.
"""

from collections.abc import Sequence

from pydantic import AwareDatetime, Field

from artifacts.errors import IntegrityError
from artifacts.frozen import Frozen
from artifacts.releases import (
    KeptVerdict,
    Release,
    VariantRelease,
    list_releases,
    published_versions,
    read_release,
    verdicts_on,
)
from artifacts.store import Store
from tasks.evidence.drift import Drift, drift_between
from tasks.evidence.kept_evidence import read_speed
from tasks.evidence.speeds import JudgedSpeed

SameVerdict = tuple[str, str, tuple[str, ...]]
"""What two entries about one verdict have in common: variant, verdict, and its measurements."""


class Entry(Frozen):
    """One verdict on one variant."""

    id: str = Field(description="Id of the kept verdict, as `enginery recompute --verdict` takes it.")
    variant: str
    judged_at: AwareDatetime = Field(description="When it was first reached, with time zone.")
    host: str = Field(description="Which host judged, in words.")
    verdict: str
    releases: tuple[str, ...] = Field(description="Versions of the releases that hold it, oldest first.")
    speed: JudgedSpeed | None = Field(description="How fast both sides were; null if no evidence was kept.")
    drift: Drift | None = Field(
        default=None, description="What changed since the last accepted release; null if there is none."
    )

    @property
    def accepted(self) -> bool:
        """Whether a release deploys this engine."""
        return bool(self.releases) and self.verdict == "compile"


def history_of(store: Store, name: str) -> tuple[Entry, ...]:
    """Return all verdicts on the variants of a spec, by variant, oldest first.

    Raises IntegrityError if a verdict or its speeds are damaged; damaged releases are left out.
    """
    holding = _releases_holding([one for one in list_releases(store, name) if isinstance(one, Release)])
    firsts: dict[SameVerdict, KeptVerdict] = {}
    for kept in verdicts_on(store, name):
        firsts.setdefault(_same_verdict(kept.entry), kept)
    entries = [_entry(store, kept, holding.get(key, ())) for key, kept in firsts.items()]
    variants = dict.fromkeys(entry.variant for entry in entries)
    return tuple(
        entry
        for variant in variants
        for entry in _with_drift(name, [one for one in entries if one.variant == variant])
    )


def last_accepted(store: Store, name: str, variant: str) -> tuple[str, VariantRelease] | None:
    """Return version and entry of the newest release that deploys an engine of a variant; None if none does.

    Damaged releases are left out.
    """
    for version in reversed(published_versions(store, name)):
        try:
            entries = read_release(store, name, version).variants
        except IntegrityError:
            continue
        for entry in entries:
            if entry.name == variant and entry.verdict == "compile":
                return version, entry
    return None


def _same_verdict(entry: VariantRelease) -> SameVerdict:
    return entry.name, entry.verdict, entry.measurements


def _releases_holding(releases: Sequence[Release]) -> dict[SameVerdict, tuple[str, ...]]:
    holding: dict[SameVerdict, tuple[str, ...]] = {}
    for release in releases:
        for entry in release.variants:
            key = _same_verdict(entry)
            holding[key] = (*holding.get(key, ()), release.version)
    return holding


def _entry(store: Store, kept: KeptVerdict, releases: tuple[str, ...]) -> Entry:
    evidence = kept.entry.evidence
    return Entry(
        id=kept.id,
        variant=kept.entry.name,
        judged_at=kept.judged_at,
        host=kept.host,
        verdict=kept.entry.verdict,
        releases=releases,
        speed=read_speed(store, evidence) if evidence else None,
    )


def _with_drift(name: str, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of one variant, each compared with the last accepted one before it."""
    made: list[Entry] = []
    accepted: Entry | None = None
    for entry in entries:
        drift = None
        if accepted is not None and accepted.speed and entry.speed:
            since = f"{name}@{accepted.releases[0]}"
            drift = drift_between(accepted.speed, entry.speed, since=since)
        made.append(entry.model_copy(update={"drift": drift}))
        accepted = entry if entry.accepted else accepted
    return made
