"""What a build would do, stage by stage, and why: the descriptions that the stages run by, only looked up.

Nothing is built, fetched or measured here. What depends on a stage that has to run is "known after" it.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from engine_specs.models import Spec
from engine_specs.resolve import ResolvedVariant, resolve_variants
from tasks.hub_access import HubAccess
from tasks.measuring import Usable, find_measurement
from tasks.pipeline import Pipeline
from tasks.sides import load_plan, reference_sides
from tasks.stage import Hit, StageCall, look_up
from tasks.stages import baseline, build, fetch, measure, quantize
from tasks.stages.sources import calibration_location, resolve_sources
from tasks.stages.worker_stage import WorkerStage
from tasks.toolchains import NotInstalled, planned_identity

State = Literal["hit", "miss", "unknown", "left-out"]


class PlannedStage(Frozen):
    """One stage of one variant, looked up."""

    variant: str = Field(description="Name of the variant, or what is fetched.")
    stage: str = Field(description="Name of the stage.")
    state: State = Field(description="hit: reused; miss: would run; unknown: depends on another; left-out.")
    fingerprint: str | None = Field(default=None, description="Fingerprint or measurement key, once known.")
    reasons: tuple[str, ...] = Field(description="Why, one sentence or changed field each.")
    tree: str | None = Field(default=None, description="The tree that is reused.")


class SpecPlan(Frozen):
    """All stages of one spec, in the order in which they would run."""

    spec: str = Field(description="Name of the spec.")
    version: str = Field(description="Declared major.minor.")
    checkpoint: str = Field(description="Repository of the checkpoint.")
    commit: str = Field(description="Commit of the checkpoint.")
    commit_reason: str = Field(description="How the commit was chosen.")
    stages: tuple[PlannedStage, ...] = Field(description="The stages.")

    @property
    def work(self) -> tuple[PlannedStage, ...]:
        """The stages that would run, or might."""
        return tuple(stage for stage in self.stages if stage.state in {"miss", "unknown"})


def plan_spec(pipeline: Pipeline, spec: Spec, access: HubAccess, variant: str | None = None) -> SpecPlan:
    """Look all stages of a spec (or of one of its variants) up.

    Raises:
        tasks.errors.TaskError: a tracked branch or a local file of texts cannot be resolved.
        artifacts.errors.StoreUnreachable: the store does not answer.
    """
    sources = resolve_sources(spec, access)
    commit = sources.checkpoint.commit
    checkpoint = _looked_up(pipeline, fetch.describe_checkpoint(spec, commit))
    heldout_call = fetch.describe_texts(spec, "heldout", spec.validation.accuracy, sources.heldout)
    heldout = _looked_up(pipeline, heldout_call)
    stages = [checkpoint, heldout]
    for one in resolve_variants(spec):
        if variant in {None, one.name}:
            stages.extend(_VariantPlan(pipeline, spec, one).stages(access, checkpoint, heldout))
    return SpecPlan(
        spec=spec.name,
        version=spec.version,
        checkpoint=spec.checkpoint.repo,
        commit=commit,
        commit_reason=sources.checkpoint.reason,
        stages=tuple(stages),
    )


class _VariantPlan:
    """The stages of one variant."""

    def __init__(self, pipeline: Pipeline, spec: Spec, variant: ResolvedVariant) -> None:
        self._pipeline = pipeline
        self._spec = spec
        self._variant = variant

    def stages(
        self, access: HubAccess, checkpoint: PlannedStage, heldout: PlannedStage
    ) -> Iterator[PlannedStage]:
        """All of them, in the order in which they would run."""
        yield self._baseline(checkpoint)
        calibration = self._calibration(access)
        if calibration is not None:
            yield calibration
        quantized = self._quantize(checkpoint, calibration)
        yield quantized
        engine = self._build(checkpoint if quantized.state == "left-out" else quantized)
        yield engine
        yield self._measure(checkpoint, heldout, engine)

    def _calibration(self, access: HubAccess) -> PlannedStage | None:
        location = calibration_location(self._spec, self._variant, access)
        source = self._variant.quantization.calibration
        if location is None or source is None:
            return None
        role = f"calibration-{self._variant.name}"
        return _looked_up(self._pipeline, fetch.describe_texts(self._spec, role, source, location))

    def _baseline(self, checkpoint: PlannedStage) -> PlannedStage:
        if checkpoint.tree is None:
            return self._unknown(baseline.STAGE, checkpoint)
        side = reference_sides(self._spec, self._variant, checkpoint.tree)[0]
        identity = planned_identity(side.recipe.toolchain, self._pipeline.settings)
        if isinstance(identity, NotInstalled):
            return self._not_installed(baseline.STAGE, identity)
        plan = load_plan(self._spec, baseline.vocabulary_in(self._pipeline.store, checkpoint.tree))
        return self._measurement(baseline.STAGE, baseline.describe(side, plan, identity))

    def _quantize(self, checkpoint: PlannedStage, calibration: PlannedStage | None) -> PlannedStage:
        waits_for = [one for one in (checkpoint, calibration) if one is not None and one.tree is None]
        if waits_for:
            return self._unknown(quantize.STAGE, *waits_for)
        texts = calibration.tree if calibration else None
        work = quantize.describe(self._spec.name, self._variant, checkpoint.tree or "", texts)
        if isinstance(work, quantize.LeftOut):
            return PlannedStage(
                variant=self._variant.name, stage=quantize.STAGE, state="left-out", reasons=(work.reason,)
            )
        return self._job(work)

    def _build(self, source: PlannedStage) -> PlannedStage:
        if source.tree is None:
            return self._unknown(build.STAGE, source)
        names = build.toolchains_of(self._variant)
        found = {role: planned_identity(name, self._pipeline.settings) for role, name in names.items()}
        absent = [one for one in found.values() if isinstance(one, NotInstalled)]
        if absent:
            return self._not_installed(build.STAGE, *absent)
        identities = {role: one for role, one in found.items() if isinstance(one, str)}
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
        found = {n: planned_identity(n, self._pipeline.settings) for n in measure.toolchains_of(protocol)}
        absent = [one for one in found.values() if isinstance(one, NotInstalled)]
        if absent:
            return self._not_installed(measure.STAGE, *absent)
        identities = {name: one for name, one in found.items() if isinstance(one, str)}
        return self._measurement(measure.STAGE, measure.describe(protocol, identities))

    def _job(self, work: WorkerStage) -> PlannedStage:
        identity = planned_identity(work.toolchain, self._pipeline.settings)
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
