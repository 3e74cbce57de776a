"""judge: from measurements to a verdict, a report, and the variant's entry in a release.

Judging is a pure function of measurements and is repeated every time: other prices need no new rounds.
Every verdict is kept (`tasks.stages.verdicts`), so that a release can hold what several hosts judged.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from artifacts.errors import IntegrityError, NotFound
from artifacts.hosts import probe_host, refuse_stand_in
from artifacts.releases import VariantRelease, judged_here
from artifacts.store import Measurement
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import occupied_devices
from tasks.evidence import (
    Drift,
    Evidence,
    baseline_evidence,
    drift_between,
    engine_evidence,
    keep_evidence,
    last_accepted,
    read_speed,
)
from tasks.hosts import host_requirements, this_host
from tasks.judging import JudgedResult, NotMeasured, Side, StageRecord, Subject
from tasks.judging.decide import Stay, Verdict, decide_baseline, is_accurate
from tasks.judging.gates import Terms
from tasks.judging.judge import judge_engine
from tasks.judging.report import last_release, render_baseline, render_report
from tasks.runs import Pipeline, StageResult
from tasks.stages.baseline import Baseline, baseline_terms
from tasks.stages.fetch import PROMPTS
from tasks.stages.measure import Measurements, engine_manifest
from tasks.stages.node import Inputs, Node
from tasks.stages.verdicts import keep

SECONDS_PER_HOUR = 3600.0


class Judge(Node):
    """The verdict on a variant."""

    stage = "judge"
    does = "Reaches a verdict from what was measured, and writes the report."

    def __init__(self, spec: Spec, variant: ResolvedVariant) -> None:
        super().__init__(spec, variant.name)
        self.work_pool = variant.target.work_pool
        self._target = variant.target.name

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  the spec is enough
        """Return what the spec requires of an engine."""
        asked = self.spec.validation
        return {
            "compile": self.spec.compile,
            "economics": self.spec.economics.at(self._target).model_dump(mode="json"),
            "accuracy": asked.accuracy.model_dump(mode="json", exclude_none=True),
            **({"tasks": [one.model_dump(mode="json") for one in asked.tasks]} if asked.tasks else {}),
            "speed": asked.speed.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class Case:
    """A variant to be judged.

    Attributes:
        spec: the spec.
        variant: the variant.
        commit: commit of the checkpoint.
        stages: results of the stages, in order; the first is the checkpoint.
        begun_at: when this run began; what is older was reused.
    """

    spec: Spec
    variant: ResolvedVariant
    commit: str
    stages: tuple[StageResult, ...]
    begun_at: datetime

    @property
    def checkpoint(self) -> str:
        """Digest of the tree of the unquantized checkpoint."""
        return self.stages[0].tree

    @property
    def engine(self) -> str:
        """Digest of the tree that the last stage made."""
        return self.stages[-1].tree


@dataclass(frozen=True, slots=True)
class Filed:
    """What the store holds for a verdict.

    Attributes:
        report: tree of the report.
        evidence: tree of the evidence.
        measurements: ids of the measurements in it.
    """

    report: str
    evidence: str
    measurements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A variant with its verdict, ready for a release.

    Attributes:
        entry: its entry in a release.
        verdict: the row of the table and its reasons.
        result: the evidence; None if the baseline sufficed and nothing was compiled.
        verdict_id: id under which the verdict is kept.
    """

    entry: VariantRelease
    verdict: Verdict
    result: JudgedResult | None
    verdict_id: str


def judge_baseline(pipeline: Pipeline, case: Case, baseline: Baseline, stay: Stay) -> Judged:
    """Return the verdict if vLLM suffices: stay-on-vllm, and nothing is compiled."""
    verdict = decide_baseline(stay)
    evidence = baseline_evidence(
        baseline.measurement,
        baseline_terms(case.spec, case.variant),
        case.spec.validation.speed.metric,
        baseline.versions,
    )
    subject = _subject(case, [_baseline_record(case, baseline)], since_last(pipeline, case, evidence))
    last = last_release(pipeline.store, case.spec.name, case.variant.name, evidence.kept.measurements)
    with tempfile.TemporaryDirectory() as scratch:
        render_baseline(
            subject,
            baseline.load,
            stay,
            verdict,
            Path(scratch),
            workload=case.spec.workload,
            last=last,
        )
        filed = _file(pipeline, Path(scratch), evidence)
    _say_verdict(pipeline, subject, verdict)
    vllm = baseline.load.side
    entry = _entry(pipeline, case, subject, verdict, vllm=vllm, deployed=vllm, filed=filed)
    kept = keep(pipeline.store, case.spec, case.variant, case.commit, entry)
    return Judged(entry, verdict, None, kept.id)


def judge(pipeline: Pipeline, case: Case, baseline: Baseline, measurements: Measurements) -> Judged:
    """Judge an engine, and put its report into the store.

    Raises:
        artifacts.errors.StandInRefused: a stand-in of the tool made the engine, or the one that was measured.
        tasks.errors.ProtocolsDiffer: the results were measured under another protocol.
    """
    for tree in dict.fromkeys((case.engine, measurements.protocol.engine.tree)):
        refuse_stand_in(pipeline.store, tree, "judged")
    terms = Terms(
        prices=case.spec.economics.at(case.variant.target.name),
        compile_mode=case.spec.compile,
        build_device_hours=_device_hours(case.stages, [baseline.measurement, measurements.measurement]),
    )
    evidence = engine_evidence(
        baseline.measurement,
        baseline_terms(case.spec, case.variant),
        measurements.measurement,
        measurements.protocol,
        terms,
        baseline.versions | measurements.versions,
    )
    records = [_baseline_record(case, baseline), _measure_record(case, measurements)]
    subject = _subject(case, records, since_last(pipeline, case, evidence))
    result = judge_engine(measurements.measured, measurements.protocol, terms, subject)
    verdict = result.verdict
    last = last_release(pipeline.store, case.spec.name, case.variant.name, evidence.kept.measurements)
    size_bytes = pipeline.store.get_listing(case.engine).total_bytes
    with tempfile.TemporaryDirectory() as scratch:
        render_report(result, Path(scratch), size_bytes=size_bytes, last=last)
        filed = _file(pipeline, Path(scratch), evidence)
    _say_verdict(pipeline, subject, verdict)
    vllm, deployed = reference_of(measurements), deployable_reference(measurements)
    entry = _entry(pipeline, case, subject, verdict, vllm=vllm, deployed=deployed, filed=filed)
    kept = keep(pipeline.store, case.spec, case.variant, case.commit, entry)
    return Judged(entry, verdict, result, kept.id)


def _file(pipeline: Pipeline, report: Path, evidence: Evidence) -> Filed:
    """Put the report in a directory, and the evidence, into the store."""
    return Filed(
        report=pipeline.store.put_tree(report, consume=True, recheck=pipeline.force).digest,
        evidence=keep_evidence(pipeline.store, evidence, recheck=pipeline.force),
        measurements=evidence.kept.measurements,
    )


def reference_of(measurements: Measurements) -> Side:
    """Return the strongest reference, or the one that scores if no round was timed."""
    speed, references = measurements.measured.speed, measurements.protocol.references
    if isinstance(speed, NotMeasured):
        return references[0]
    return next(side for side in references if side.name == speed.reference)


def deployable_reference(measurements: Measurements) -> Side:
    """Return the strongest reference that was shown to be accurate; the one that scores is, by definition."""
    measured, protocol = measurements.measured, measurements.protocol
    scorer = protocol.references[0]
    if isinstance(measured.speed, NotMeasured):
        return scorer
    accurate = {one.side for one in measured.references if is_accurate(one, protocol)} | {scorer.name}
    timed = [point.reference.side for point in measured.speed.deciding]
    name = next((one for one in timed if one in accurate), scorer.name)
    return next(side for side in protocol.references if side.name == name)


def _entry(
    pipeline: Pipeline,
    case: Case,
    subject: Subject,
    verdict: Verdict,
    *,
    vllm: Side,
    deployed: Side,
    filed: Filed,
) -> VariantRelease:
    """Return the entry; it was judged against `vllm`, and if it stays on vLLM, `deployed` is served."""
    requires = host_requirements(case.variant.target, case.variant.devices, (vllm.serve.toolchain,))
    tree, serve = None, None
    if verdict.verdict == "compile":
        manifest = engine_manifest(pipeline.store, case.engine)
        tree, serve, requires = case.engine, manifest.serve, manifest.requires
    elif verdict.verdict == "stay-on-vllm":
        tree, serve = deployed.tree, deployed.serve
    return VariantRelease(
        name=case.variant.name,
        required=case.variant.required,
        target=case.variant.target.name,
        verdict=verdict.verdict,
        reasons=verdict.reasons,
        since_last=subject.since_last,
        requires=requires,
        judged_on=judged_here(requires, probe_host()),
        serve=serve,
        tree=tree,
        vllm_serve=vllm.serve,
        vllm_tree=vllm.tree,
        checkpoint_tree=case.checkpoint,
        quantized_source=_ready_made(case.variant),
        speculative=case.variant.speculative.text() if case.variant.speculative else "",
        report=filed.report,
        fingerprints={f"{one.stage}:{one.variant}": one.fingerprint for one in case.stages},
        measurements=filed.measurements,
        evidence=filed.evidence,
    )


def _say_verdict(pipeline: Pipeline, subject: Subject, verdict: Verdict) -> None:
    said = f"verdict on {subject.variant}: {verdict.verdict} ({verdict.row}): {verdict.reasons[0]}"
    pipeline.say(" ".join(filter(None, (said, subject.since_last))))


def since_last(pipeline: Pipeline, case: Case, evidence: Evidence) -> str:
    """Say how speeds changed since the last release with an engine of this variant, unless it is the same.

    Damaged evidence is named, and keeps nothing from being judged.
    """
    found = last_accepted(pipeline.store, case.spec.name, case.variant.name)
    if found is None:
        return ""
    version, entry = found
    if entry.evidence is None or entry.measurements == evidence.kept.measurements:
        return ""
    since = f"{case.spec.name}@{version}"
    try:
        then = read_speed(pipeline.store, entry.evidence)
    except (NotFound, IntegrityError) as error:
        return Drift(since=since, incomparable=f"its evidence cannot be read ({error.what})").text()
    return drift_between(then, evidence.speed, since=since).text()


def _subject(case: Case, measured: Sequence[StageRecord], since_last: str) -> Subject:
    host = this_host().model_dump(mode="json")
    tools = {name: version for stage in case.stages for name, version in stage.tools.items()}
    prompts = case.stages[0].metrics.get(PROMPTS, {})
    speculative = case.variant.speculative
    drafting = {"speculative decoding": speculative.text()} if speculative else {}
    return Subject(
        spec=f"{case.spec.name} {case.spec.version}",
        variant=case.variant.name,
        model=f"{case.spec.checkpoint.repo}@{case.commit}",
        target=case.variant.target.name,
        kind=case.variant.engine.kind,
        quantization=_quantization(case.variant),
        environment={
            name: _text(value) for name, value in (host | tools | prompts | drafting).items() if value
        },
        stages=_in_order(list(map(_record, case.stages)), measured),
        since_last=since_last,
    )


def _quantization(variant: ResolvedVariant) -> str:
    """Return the recipe, and the ready-made checkpoint if that is what it means."""
    return f"{variant.quantization.recipe} {_ready_made(variant)}".strip()


def _ready_made(variant: ResolvedVariant) -> str:
    """Return repository and commit of a variant's ready-made checkpoint; empty if it has none."""
    source = variant.quantization.source
    return f"{source.repo}@{source.revision}" if source else ""


def _in_order(made: list[StageRecord], measured: Sequence[StageRecord]) -> tuple[StageRecord, ...]:
    """Return all stages as they ran: the baseline is measured before anything is compiled."""
    checkpoint, *compiled = made
    baseline, *engine = measured
    return (checkpoint, baseline, *compiled, *engine)


def _text(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _record(stage: StageResult) -> StageRecord:
    return StageRecord(
        stage=f"{stage.stage} {stage.variant}",
        fingerprint=stage.fingerprint,
        tree=stage.tree,
        duration_s=stage.made_in_s,
        reused=stage.reused,
        toolchain=stage.metrics.get("toolchain"),
    )


def _baseline_record(case: Case, baseline: Baseline) -> StageRecord:
    return _measured_record(case, "baseline", baseline.measurement, occupied_devices([baseline.load.side]))


def _measure_record(case: Case, made: Measurements) -> StageRecord:
    sides = (made.protocol.engine, *made.protocol.references)
    devices = occupied_devices(sides, made.measured.conditions.placement.name)
    return _measured_record(case, "measure", made.measurement, devices)


def _measured_record(case: Case, stage: str, measurement: Measurement, devices: int) -> StageRecord:
    return StageRecord(
        stage=f"{stage} {case.variant.name}",
        fingerprint=measurement.key,
        duration_s=measurement.device_s / devices,
        reused=measurement.created_at < case.begun_at,
    )


def _device_hours(stages: Sequence[StageResult], measured: Sequence[Measurement]) -> float:
    """Return the device time of a build and its measurements: what each part took when it ran."""
    made_s = sum(stage.made_in_s for stage in stages)
    return (made_s + sum(one.device_s for one in measured)) / SECONDS_PER_HOUR
