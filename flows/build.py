"""The flow `build`: one spec in; its judged variants, and if they deserve it a release, out."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from artifacts.errors import EngineryError
from artifacts.hosts import probe_host
from artifacts.settings import Settings
from artifacts.store import open_store
from engine_specs.preflight import Examination, examine
from engine_specs.reading import PreflightRefused, Problem
from engine_specs.spec import ResolvedVariant, Spec, list_specs, load_spec
from flows.prefect_run import (
    BuildSummary,
    Row,
    RunLog,
    StepSummary,
    baseline_figures,
    engine_figures,
    measured_step,
    publication_line,
    run_name,
    run_tags,
    state_message,
    step_of,
    summarize_variant,
    tell,
)
from flows.prefect_run import page as run_page
from flows.selection import variants_here
from flows.text import memory_lines
from tasks import prefect_tasks as steps
from tasks.hosts import free_disk_bytes
from tasks.hub import HubAccess
from tasks.judging.economics import Stay
from tasks.kinds import kind_named
from tasks.runs import Hit, Pipeline, StageResult, look_up
from tasks.stages import (
    Case,
    Judged,
    Sources,
    Withheld,
    beside,
    calibration_location,
    checkpoint_facts,
    describe_checkpoint,
    measure,
    quantize,
    require_measurable,
    resolve_sources,
)

STAGES_OF_A_VARIANT = 5
# The choices of the form and the API, fixed when the flow is deployed: a new spec asks for a new `up`.
SPEC_NAMES = [path.stem for path in list_specs(Settings().specs_dir)]
SpecName = Annotated[str, Field(json_schema_extra={"enum": SPEC_NAMES})]


@flow(name="build", flow_run_name="build {spec}", persist_result=False)
def build(
    spec: SpecName,
    variant: str | None = None,
    publish: bool = True,
    force: bool = False,
    require_cached: bool = False,
) -> BuildSummary | Any:
    """Build, judge and publish one spec.

    Args:
        spec: Name of the spec (on the command line also a path).
        variant: Build this variant alone; leave empty for all that this host can build.
        publish: Publish a release when every required variant was judged and has something to deploy.
        force: Run every stage again, whatever the store holds.
        require_cached: Fail where a stage would have to run, instead of running it.
    """
    logger = get_run_logger()
    run_page.own_run()
    try:
        settings = Settings()
        loaded = load_spec(spec, settings.specs_dir)
        chosen = variants_here(loaded, variant, probe_host())
        if chosen.left_out:
            logger.info("%s", chosen.left_out)
        store = open_store(settings)
        store.ensure_bucket()
        pipeline = Pipeline(
            settings,
            store,
            say=RunLog(),
            force=force,
            require_cached=require_cached,
        )
        summary = _Build(pipeline, loaded, chosen.here).run(publish=publish)
        return Completed(message=state_message(summary), data=summary)
    except EngineryError as error:
        tell(error)
        return Failed(message=f"{error.failure}: {error}", data=error)


class _Build:
    """One run of the flow: the order of the steps, and what they have made so far."""

    def __init__(self, pipeline: Pipeline, spec: Spec, variants: tuple[ResolvedVariant, ...]) -> None:
        self._pipeline = pipeline
        self._spec = spec
        self._variants = variants
        self._access = HubAccess.from_environment()
        self._made: list[StageResult] = []
        self._steps: list[StepSummary] = []
        self._links: dict[str, str] = {}
        self._begin = time.monotonic()

    def run(self, *, publish: bool) -> BuildSummary:
        """Fetch, then every variant from baseline to verdict, then the release."""
        sources = resolve_sources(self._spec, self._access)
        commit = sources.checkpoint.commit
        targets = [one.target.name for one in self._variants]
        run_page.name_run(
            f"{self._spec.name} {self._spec.version} at {commit[:7]}",
            run_page.begin_tags(self._spec, commit, targets),
        )
        self._require_preflight(commit)
        with run_page.Progress(3 + STAGES_OF_A_VARIANT * len(self._variants)) as self._progress:
            checkpoint, heldout = self._fetch(sources)
            judged = [self._judged(one, sources, checkpoint, heldout) for one in self._variants]
            run_page.show_stages(self._spec.name, self._steps)
            summary = self._finish(sources, judged, publish=publish)
            self._progress.step()
        run_page.show_verdict(self._spec, summary, judged, self._links)
        run_page.name_run(run_name(summary, self._spec.version), run_tags(summary))
        return summary

    def _require_preflight(self, commit: str) -> None:
        facts = checkpoint_facts(self._pipeline, self._spec, commit, self._access)
        free_bytes = self._free_disk_bytes(commit)
        problems: list[Problem] = []
        for one in self._variants:
            examined = examine(self._spec, one, facts.config, facts.file_bytes, free_disk_bytes=free_bytes)
            problems += (*kind_named(one.engine.kind).option_problems(one), *examined.problems)
            self._tell(one, examined)
        if problems:
            raise PreflightRefused(self._spec.name, tuple(dict.fromkeys(problems)))

    def _free_disk_bytes(self, commit: str) -> int | None:
        """Room on this host; None once the checkpoint was fetched: what lies here already needs no more."""
        fetched = look_up(self._pipeline.store, describe_checkpoint(self._spec, commit))
        return None if isinstance(fetched, Hit) else free_disk_bytes(self._pipeline.settings)

    def _tell(self, variant: ResolvedVariant, examined: Examination) -> None:
        lines = memory_lines(examined.memory) if examined.memory is not None else ()
        for line in (*lines, *(f"warning: {one}" for one in examined.warnings)):
            self._pipeline.say(f"pre-flight {variant.name}: {line}")

    def _fetch(self, sources: Sources) -> tuple[StageResult, StageResult]:
        pipeline, spec = self._pipeline, self._spec
        commit = sources.checkpoint.commit
        checkpoint = self._keep(steps.fetch_checkpoint(pipeline, spec, commit, self._access))
        source = spec.validation.accuracy
        heldout = steps.fetch_texts(pipeline, spec, "heldout", source, sources.heldout, self._access)
        return checkpoint, self._keep(heldout)

    def _judged(
        self, variant: ResolvedVariant, sources: Sources, checkpoint: StageResult, heldout: StageResult
    ) -> Judged:
        pipeline, spec = self._pipeline, self._spec
        commit = sources.checkpoint.commit
        begin = datetime.now(UTC)
        baseline = steps.measure_baseline(pipeline, spec, variant, checkpoint.tree)
        self._keep_step(measured_step("baseline", variant.name, baseline.measurement, baseline.reason, begin))
        if isinstance(baseline.decision, Stay):
            case = Case(spec, variant, commit, (checkpoint,))
            judged = steps.judge_baseline(pipeline, case, baseline, baseline.decision)
            self._show(judged, baseline_figures(baseline.load, spec.workload.slo))
            self._progress.step(STAGES_OF_A_VARIANT - 1)
            return judged
        require_measurable(spec, variant, probe_host())
        case = Case(spec, variant, commit, (checkpoint, *self._compile(variant, checkpoint)))
        measurements = self._measure(case, heldout)
        judged = steps.judge_engine(pipeline, case, baseline, measurements)
        if judged.result is not None:
            self._show(judged, engine_figures(judged.result))
        self._progress.step()
        return judged

    def _measure(self, case: Case, heldout: StageResult) -> measure.Measurements:
        pipeline, spec, variant = self._pipeline, case.spec, case.variant
        run_page.name_run(None, {f"engine:{case.stages[-1].fingerprint[:12]}"})
        protocol = measure.protocol_for(
            pipeline.store,
            spec,
            variant,
            engine=case.engine,
            checkpoint=case.checkpoint,
            heldout=heldout.tree,
        )
        begin = datetime.now(UTC)
        made = steps.measure_engine(pipeline, spec, variant, protocol, heldout.tree)
        self._keep_step(measured_step("measure", variant.name, made.measurement, made.reason, begin))
        return made

    def _show(self, judged: Judged, rows: list[Row]) -> None:
        entry = judged.entry
        link = run_page.report_link(self._pipeline.store, entry.report) if entry.report else None
        run_page.show_figures(self._spec.name, entry.name, rows, link)
        if link is not None:
            self._links[entry.name] = link

    def _compile(self, variant: ResolvedVariant, checkpoint: StageResult) -> Iterator[StageResult]:
        pipeline, spec = self._pipeline, self._spec
        calibration = self._calibration(variant)
        work = quantize.describe(spec.name, variant, checkpoint.tree, calibration, beside=beside(spec))
        source = checkpoint.tree
        if isinstance(work, quantize.LeftOut):
            pipeline.say(f"quantize {variant.name}: left out ({work.reason})")
            self._progress.step()
        else:
            quantized = self._keep(steps.quantize_checkpoint(pipeline, work))
            source = quantized.tree
            yield quantized
        yield self._keep(steps.build_engine(pipeline, spec, variant, source))

    def _calibration(self, variant: ResolvedVariant) -> str | None:
        location = calibration_location(self._spec, variant, self._access)
        source = variant.quantization.calibration
        if location is None or source is None:
            return None
        role = f"calibration-{variant.name}"
        texts = steps.fetch_texts(self._pipeline, self._spec, role, source, location, self._access)
        self._made.append(texts)
        self._steps.append(step_of(texts))
        return str(texts.tree)

    def _finish(self, sources: Sources, judged: list[Judged], *, publish: bool) -> BuildSummary:
        commit = sources.checkpoint.commit
        entries = tuple(one.entry for one in judged)
        if publish:
            outcome = steps.publish_release(self._pipeline, self._spec, commit, entries)
        else:
            outcome = Withheld("publishing was not asked for")
        released = None if isinstance(outcome, Withheld) else outcome
        return BuildSummary(
            spec=self._spec.name,
            commit=commit,
            version=released.release.version if released else None,
            channels=released.channels if released else (),
            publication=publication_line(outcome),
            variants=tuple(summarize_variant(one) for one in judged),
            stages=tuple(self._made),
            steps=tuple(self._steps),
            duration_s=round(time.monotonic() - self._begin, 1),
            page=run_page.own_page(),
        )

    def _keep(self, result: StageResult) -> StageResult:
        self._made.append(result)
        self._keep_step(step_of(result))
        return result

    def _keep_step(self, step: StepSummary) -> None:
        self._steps.append(step)
        self._progress.step()
