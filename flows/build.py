"""The flow `build`: judges the variants of one spec, and publishes a release if the verdicts allow it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from artifacts.errors import EngineryError
from artifacts.hosts import probe_host
from artifacts.settings import load_settings
from artifacts.store import open_store
from engine_specs.preflight import Examination, ServedMemory
from engine_specs.reading import PreflightRefused
from engine_specs.spec import ResolvedVariant, Spec, list_specs, load_spec
from flows.prefect_run import (
    BuildSummary,
    Row,
    RunLog,
    StepSummary,
    baseline_figures,
    cancellable,
    engine_figures,
    log_error,
    measured_step,
    publication_line,
    run_name,
    run_tags,
    settle_cancelled,
    state_message,
    summarize_variant,
    tree_step,
)
from flows.prefect_run import page as run_page
from flows.readiness import require_first_toolchains
from flows.selection import variants_here
from flows.text.plan import examination_lines
from tasks import prefect_tasks as steps
from tasks.comparison import placement_here
from tasks.hub import HubAccess
from tasks.judging import LoadResult, SpeedPlan
from tasks.judging.decide import Stay
from tasks.judging.measure import too_few_blocks
from tasks.plan import examine_variant, read_checkpoints, room_here
from tasks.runs import Hit, Pipeline, StageResult, look_up
from tasks.stages import (
    Case,
    Judged,
    Measurements,
    Node,
    Sources,
    SpecGraph,
    VariantGraph,
    Withheld,
    checkpoint_call,
    checkpoint_facts,
    measure,
    require_disjoint,
)

STAGES_OF_A_VARIANT = 5


def spec_choices() -> dict[str, Any]:
    """Return the names of the specs as part of a JSON schema: the choices in the form and the API.

    They are fixed when the flow is deployed: a new spec requires a new `up`. Empty if the settings are
    invalid, which must not keep the flow from being imported: every run of it says what is wrong with them.
    """
    try:
        paths = list_specs(load_settings().specs_dir)
    except EngineryError:
        return {}
    return {"enum": [path.stem for path in paths]}


SpecName = Annotated[str, Field(json_schema_extra=spec_choices())]


@flow(name="build", flow_run_name="build {spec}", persist_result=False, on_crashed=[settle_cancelled])
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
        variant: Build only this variant; leave empty for all that this host can build.
        publish: Publish a release if every required variant was judged and has something to deploy.
        force: Run every stage again, whatever the store holds.
        require_cached: Fail if a stage would have to run, instead of running it.
    """
    logger = get_run_logger()
    run_page.register_process()
    try:
        settings = load_settings()
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
        with cancellable():
            summary = _Build(pipeline, loaded, chosen.here).run(publish=publish)
        return Completed(message=state_message(summary), data=summary)
    except EngineryError as error:
        log_error(error)
        return Failed(message=f"{error.failure}: {error}", data=error)


class _Build:
    """One run of the flow: the order of the stages, and what they have made so far."""

    def __init__(self, pipeline: Pipeline, spec: Spec, variants: tuple[ResolvedVariant, ...]) -> None:
        self._pipeline = pipeline
        self._spec = spec
        self._variants = variants
        self._access = HubAccess.from_environment()
        self._graph = SpecGraph(
            spec,
            variants,
            placement=pipeline.settings.placement,
            quiet_host=pipeline.settings.quiet_host,
        )
        self._made: dict[str, StageResult] = {}
        self._served: dict[str, ServedMemory | None] = {}
        self._steps: list[StepSummary] = []
        self._links: dict[str, str] = {}
        self._begin = time.monotonic()
        self._begun_at = datetime.now(UTC)

    def run(self, *, publish: bool) -> BuildSummary:
        """Fetch, take every variant from baseline to verdict, then publish the release."""
        sources = Sources(self._spec, self._access)
        for rows in (self._spec.validation.accuracy, *self._spec.validation.tasks):
            sources.location(rows)
        commit = sources.checkpoint.commit
        targets = [variant.target.name for variant in self._variants]
        run_page.name_run(
            f"{self._spec.name} {self._spec.version} at {commit[:7]}",
            run_page.begin_tags(self._spec, commit, targets),
        )
        self._require_preflight(commit)
        stages = len(self._graph.shared) + STAGES_OF_A_VARIANT * len(self._variants) + 1
        with run_page.Progress(stages) as self._progress:
            for node, result in self._fetch(sources):
                self._keep(node, result)
            judged = [self._judge(nodes, sources) for nodes in self._graph.variants]
            run_page.show_stages(self._spec.name, self._steps)
            summary = self._finish(sources, judged, publish=publish)
            self._progress.step()
        run_page.show_verdict(self._spec, summary, judged, self._links)
        run_page.name_run(run_name(summary, self._spec.version), run_tags(summary))
        return summary

    def _require_preflight(self, commit: str) -> None:
        pipeline, spec = self._pipeline, self._spec
        base = checkpoint_facts(pipeline, spec, commit, self._access)
        fetched = isinstance(look_up(pipeline.store, checkpoint_call(spec, commit)), Hit)
        found: dict[str, Examination] = {}
        for variant in self._variants:
            known = read_checkpoints(pipeline, spec, variant, base, self._access)
            room = room_here(variant, pipeline.settings, fetched=fetched)
            found[variant.name] = examine_variant(spec, variant, known, room)
            self._served[variant.name] = known.served_memory(spec, variant)
        for line in examination_lines(found):
            pipeline.say(f"pre-flight {line}")
        if problems := tuple(dict.fromkeys(problem for one in found.values() for problem in one.problems)):
            raise PreflightRefused(spec.name, problems)
        require_first_toolchains(self._variants, pipeline.settings)

    def _require_placement(self, variant: ResolvedVariant, load: LoadResult) -> None:
        """Refuse what can be built on this host, but not measured, before it is built."""
        served, settings = self._served[variant.name], self._pipeline.settings
        choice = placement_here(self._spec, variant, served, probe_host(), settings)
        self._pipeline.say(f"placement of {variant.name}: {choice.text()}")
        plan = SpeedPlan(gate=self._spec.validation.speed)
        if choice.name == "in-turn" and (known := too_few_blocks({load.side.name: load.ready_s}, plan)):
            self._pipeline.say(f"warning: {variant.name} may be inconclusive: {known}")

    def _fetch(self, sources: Sources) -> Iterator[tuple[Node, StageResult]]:
        pipeline, checkpoint, heldout = self._pipeline, self._graph.checkpoint, self._graph.heldout
        yield checkpoint, steps.fetch_checkpoint(pipeline, checkpoint, sources)
        yield heldout, steps.fetch_texts(pipeline, heldout, sources)
        for task in self._graph.tasks:
            yield task, steps.fetch_task(pipeline, task, sources)

    @property
    def _checkpoint(self) -> StageResult:
        return self._made[self._graph.checkpoint.title]

    def _judge(self, nodes: VariantGraph, sources: Sources) -> Judged:
        """Take one variant from baseline to verdict; stop after the baseline if vLLM suffices."""
        pipeline, spec, variant = self._pipeline, self._spec, nodes.variant
        commit = sources.checkpoint.commit
        begin = datetime.now(UTC)
        baseline = steps.measure_baseline(pipeline, nodes.baseline, self._trees(nodes.baseline))
        self._keep_step(measured_step("baseline", variant.name, baseline.measurement, baseline.reason, begin))
        if isinstance(baseline.decision, Stay):
            case = Case(spec, variant, commit, (self._checkpoint,), self._begun_at)
            judged = steps.judge_baseline(pipeline, case, baseline, baseline.decision)
            self._show(judged, baseline_figures(baseline.load, spec.workload.slo))
            self._progress.step(STAGES_OF_A_VARIANT - 1)
            return judged
        self._require_placement(variant, baseline.load)
        stages = (self._checkpoint, *self._compile(nodes, sources))
        case = Case(spec, variant, commit, stages, self._begun_at)
        measurements = self._measure(case, nodes.measure)
        judged = steps.judge_engine(pipeline, case, baseline, measurements)
        if judged.result is not None:
            self._show(judged, engine_figures(judged.result))
        self._progress.step()
        return judged

    def _compile(self, nodes: VariantGraph, sources: Sources) -> Iterator[StageResult]:
        pipeline, quantize = self._pipeline, nodes.quantize
        if nodes.calibration is not None:
            texts = steps.fetch_texts(pipeline, nodes.calibration, sources)
            self._keep(nodes.calibration, texts, in_progress_bar=False)
            heldout = self._made[self._graph.heldout.title].tree
            tasks = {one.task.name: self._made[one.title].tree for one in self._graph.tasks}
            require_disjoint(pipeline.store, texts.tree, heldout, tasks, nodes.variant.name)
        if nodes.ready_made is not None:
            fetched = steps.fetch_checkpoint(pipeline, nodes.ready_made, sources)
            yield self._keep(nodes.ready_made, fetched, in_progress_bar=False)
        if quantize.left_out:
            pipeline.say(f"{quantize.title}: left out ({quantize.left_out})")
            self._progress.step()
        else:
            made = steps.quantize_checkpoint(pipeline, quantize, self._trees(quantize))
            yield self._keep(quantize, made)
        if nodes.draft is not None:
            fetched = steps.fetch_checkpoint(pipeline, nodes.draft, sources)
            yield self._keep(nodes.draft, fetched, in_progress_bar=False)
        for node in nodes.drafted:
            joined = steps.add_draft(pipeline, node, self._trees(node))
            yield self._keep(node, joined, in_progress_bar=False)
        engine = steps.build_engine(pipeline, nodes.build, self._trees(nodes.build))
        yield self._keep(nodes.build, engine)

    def _measure(self, case: Case, node: measure.Measure) -> Measurements:
        run_page.name_run(None, {f"engine:{case.stages[-1].fingerprint[:12]}"})
        begin = datetime.now(UTC)
        made = steps.measure_engine(self._pipeline, node, self._trees(node))
        self._keep_step(measured_step("measure", node.variant, made.measurement, made.reason, begin))
        return made

    def _trees(self, node: Node) -> dict[str, str]:
        """Return the trees that a stage needs, by role."""
        return {need.role: self._made[need.node.title].tree for need in node.needs}

    def _show(self, judged: Judged, rows: list[Row]) -> None:
        entry = judged.entry
        link = run_page.report_link(self._pipeline.store, entry.report) if entry.report else None
        run_page.show_figures(self._spec.name, entry.name, rows, link)
        if link is not None:
            self._links[entry.name] = link

    def _finish(self, sources: Sources, judged: list[Judged], *, publish: bool) -> BuildSummary:
        commit = sources.checkpoint.commit
        entries = tuple(variant.entry for variant in judged)
        if publish:
            outcome = steps.publish_release(self._pipeline, self._spec, commit, entries)
        else:
            outcome = Withheld("publishing was turned off")
        released = None if isinstance(outcome, Withheld) else outcome
        return BuildSummary(
            spec=self._spec.name,
            commit=commit,
            version=released.release.version if released else None,
            channels=released.channels if released else (),
            publication=publication_line(outcome),
            variants=tuple(summarize_variant(variant) for variant in judged),
            stages=tuple(self._made.values()),
            steps=tuple(self._steps),
            duration_s=round(time.monotonic() - self._begin, 1),
            page=run_page.own_page(),
        )

    def _keep(self, node: Node, result: StageResult, *, in_progress_bar: bool = True) -> StageResult:
        """Record what a stage made; `in_progress_bar` says whether the bar counts it as a stage."""
        self._made[node.title] = result
        self._steps.append(tree_step(result))
        if in_progress_bar:
            self._progress.step()
        return result

    def _keep_step(self, step: StepSummary) -> None:
        self._steps.append(step)
        self._progress.step()
