"""The stages of a plan: the descriptions that they run by, only looked up in the store.

What depends on a stage that has to run is "known after" it; what only the Hub, the store or a toolchain could
tell is "known once" it is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from artifacts.canonical import digest_of
from artifacts.errors import StoreUnreachable
from artifacts.frozen import Frozen
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import load_plan, reference_sides
from tasks.hub import HubAccess, Resolved
from tasks.plan.checkpoint import HUB_CLOSED, HubClosed
from tasks.plan.toolchains import HostToolchains
from tasks.runs import Hit, Pipeline, StageCall, Usable, find_measurement, look_up
from tasks.stages import (
    WorkerStage,
    baseline,
    beside,
    build,
    calibration_location,
    fetch,
    heldout_location,
    measure,
    quantize,
)
from tasks.toolchains import NotInstalled

State = Literal["hit", "miss", "unknown", "left-out"]
CHECKPOINT, HELDOUT = "checkpoint", "heldout"


class PlannedStage(Frozen):
    """One stage of one variant, looked up."""

    variant: str = Field(description="Name of the variant, or what is fetched.")
    stage: str = Field(description="Name of the stage.")
    state: State = Field(description="hit: reused; miss: would run; unknown: depends on another; left-out.")
    fingerprint: str | None = Field(default=None, description="Fingerprint or measurement key, once known.")
    reasons: tuple[str, ...] = Field(description="Why, one sentence or changed field each.")
    tree: str | None = Field(default=None, description="The tree that is reused.")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the stages of a spec are looked up in.

    Attributes:
        pipeline: settings and store.
        spec: the spec.
        access: the Hub, for what the spec tracks.
        toolchains: what this host has.
    """

    pipeline: Pipeline
    spec: Spec
    access: HubAccess
    toolchains: HostToolchains


def planned_stages(
    around: Surroundings, commit: Resolved | HubClosed, variants: tuple[ResolvedVariant, ...]
) -> tuple[PlannedStage, ...]:
    """All stages, in the order in which they would run; the fetch of the checkpoint comes first."""
    try:
        return tuple(_looked_up_stages(around, commit, variants))
    except StoreUnreachable as error:
        return tuple(_without_store(variants, f"known once the store answers: {error.what}"))


def _looked_up_stages(
    around: Surroundings, commit: Resolved | HubClosed, variants: tuple[ResolvedVariant, ...]
) -> Iterator[PlannedStage]:
    checkpoint = _checkpoint(around, commit)
    yield checkpoint
    heldout = _heldout(around)
    yield heldout
    for one in variants:
        yield from _VariantStages(around, one).all(checkpoint, heldout)


def _without_store(variants: tuple[ResolvedVariant, ...], reason: str) -> Iterator[PlannedStage]:
    for role in (CHECKPOINT, HELDOUT):
        yield PlannedStage(variant=role, stage=fetch.STAGE, state="unknown", reasons=(reason,))
    for one in variants:
        for stage in (baseline.STAGE, quantize.STAGE, build.STAGE, measure.STAGE):
            yield PlannedStage(variant=one.name, stage=stage, state="unknown", reasons=(reason,))


def _checkpoint(around: Surroundings, commit: Resolved | HubClosed) -> PlannedStage:
    if isinstance(commit, HubClosed):
        return _closed(CHECKPOINT, commit.reason)
    return _looked_up(around.pipeline, fetch.describe_checkpoint(around.spec, commit.commit))


def _heldout(around: Surroundings) -> PlannedStage:
    try:
        location = heldout_location(around.spec, around.access)
    except HUB_CLOSED as error:
        return _closed(HELDOUT, error.what)
    source = around.spec.validation.accuracy
    return _looked_up(around.pipeline, fetch.describe_texts(around.spec, HELDOUT, source, location))


def _closed(what: str, reason: str) -> PlannedStage:
    reasons = (f"known once the Hub answers: {reason}",)
    return PlannedStage(variant=what, stage=fetch.STAGE, state="unknown", reasons=reasons)


class _VariantStages:
    """The stages of one variant."""

    def __init__(self, around: Surroundings, variant: ResolvedVariant) -> None:
        self._around = around
        self._pipeline = around.pipeline
        self._spec = around.spec
        self._variant = variant

    def all(self, checkpoint: PlannedStage, heldout: PlannedStage) -> Iterator[PlannedStage]:
        """All of them, in the order in which they would run."""
        yield self._baseline(checkpoint)
        calibration = self._calibration()
        if calibration is not None:
            yield calibration
        quantized = self._quantize(checkpoint, calibration)
        yield quantized
        engine = self._build(checkpoint if quantized.state == "left-out" else quantized)
        yield engine
        yield self._measure(checkpoint, heldout, engine)

    def _calibration(self) -> PlannedStage | None:
        role, source = f"calibration-{self._variant.name}", self._variant.quantization.calibration
        try:
            location = calibration_location(self._spec, self._variant, self._around.access)
        except HUB_CLOSED as error:
            return _closed(role, error.what)
        if location is None or source is None:
            return None
        return _looked_up(self._pipeline, fetch.describe_texts(self._spec, role, source, location))

    def _baseline(self, checkpoint: PlannedStage) -> PlannedStage:
        if checkpoint.tree is None:
            return self._unknown(baseline.STAGE, checkpoint)
        side = reference_sides(self._spec, self._variant, checkpoint.tree)[0]
        identity = self._around.toolchains.identity(side.recipe.toolchain)
        if isinstance(identity, NotInstalled):
            return self._not_installed(baseline.STAGE, identity)
        plan = load_plan(self._spec, baseline.vocabulary_in(self._pipeline.store, checkpoint.tree))
        return self._measurement(baseline.STAGE, baseline.describe(side, plan, identity))

    def _quantize(self, checkpoint: PlannedStage, calibration: PlannedStage | None) -> PlannedStage:
        waits_for = [one for one in (checkpoint, calibration) if one is not None and one.tree is None]
        if waits_for:
            return self._unknown(quantize.STAGE, *waits_for)
        texts = calibration.tree if calibration else None
        work = quantize.describe(
            self._spec.name, self._variant, checkpoint.tree or "", texts, beside=beside(self._spec)
        )
        if isinstance(work, quantize.LeftOut):
            return PlannedStage(
                variant=self._variant.name, stage=quantize.STAGE, state="left-out", reasons=(work.reason,)
            )
        return self._job(work)

    def _build(self, source: PlannedStage) -> PlannedStage:
        if source.tree is None:
            return self._unknown(build.STAGE, source)
        names = build.toolchains_of(self._variant)
        found = self._around.toolchains.identities(names.values())
        if not isinstance(found, dict):
            return self._not_installed(build.STAGE, *found)
        identities = {role: found[name] for role, name in names.items()}
        return self._job(build.describe(self._spec.name, self._variant, source.tree, identities))

    def _measure(self, *needed: PlannedStage) -> PlannedStage:
        missing = [one for one in needed if one.tree is None]
        if missing:
            return self._unknown(measure.STAGE, *missing)
        checkpoint, heldout, engine = (one.tree or "" for one in needed)
        protocol = measure.protocol_for(
            self._pipeline.store,
            self._spec,
            self._variant,
            engine=engine,
            checkpoint=checkpoint,
            heldout=heldout,
        )
        identities = self._around.toolchains.identities(measure.toolchains_of(protocol))
        if not isinstance(identities, dict):
            return self._not_installed(measure.STAGE, *identities)
        return self._measurement(measure.STAGE, measure.describe(protocol, identities))

    def _job(self, work: WorkerStage) -> PlannedStage:
        identity = self._around.toolchains.identity(work.toolchain)
        if isinstance(identity, NotInstalled):
            return self._not_installed(work.stage, identity)
        return _looked_up(self._pipeline, work.call(identity))

    def _measurement(self, stage: str, document: dict[str, object]) -> PlannedStage:
        found = find_measurement(self._pipeline, document)
        return PlannedStage(
            variant=self._variant.name,
            stage=stage,
            state="hit" if isinstance(found, Usable) else "miss",
            fingerprint=digest_of(document),
            reasons=(found.reason,),
        )

    def _unknown(self, stage: str, *waits_for: PlannedStage) -> PlannedStage:
        names = " and ".join(f"{one.stage} {one.variant}" for one in waits_for)
        return PlannedStage(
            variant=self._variant.name, stage=stage, state="unknown", reasons=(f"known after {names}",)
        )

    def _not_installed(self, stage: str, *absent: NotInstalled) -> PlannedStage:
        reasons = tuple(f"known once toolchain {one.name} is installed: {one.reason}" for one in absent)
        return PlannedStage(variant=self._variant.name, stage=stage, state="unknown", reasons=reasons)


def _looked_up(pipeline: Pipeline, call: StageCall) -> PlannedStage:
    found = look_up(pipeline.store, call)
    hit = isinstance(found, Hit)
    return PlannedStage(
        variant=call.variant,
        stage=call.stage,
        state="hit" if hit else "miss",
        fingerprint=call.fingerprint,
        reasons=(found.reason,) if isinstance(found, Hit) else found.reasons,
        tree=found.action.tree if isinstance(found, Hit) else None,
    )
