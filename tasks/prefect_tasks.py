"""The stages as Prefect tasks: names, retries, and nothing else.

Prefect's own result cache is off: its keys hold the run, ours the content. Results are digests and figures.
Retries are for what a retry can mend: a network or a server that was away. A failed gate is not among it.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from artifacts.errors import StoreUnreachable
from artifacts.releases import VariantRelease
from engine_specs.spec import ResolvedVariant, Spec, TextSource
from tasks.errors import HubUnreachable
from tasks.hub import HubAccess, Location
from tasks.judging.economics import Stay
from tasks.judging.protocol import JudgingProtocol
from tasks.runs import Pipeline, StageResult
from tasks.stages import WorkerStage, baseline, build, fetch, judge, measure, publish, quantize

MENDABLE = (HubUnreachable, StoreUnreachable, ConnectionError)
RETRY_DELAYS_S = [5.0, 30.0]
P = ParamSpec("P")
R = TypeVar("R")


def is_mendable(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again may help: the Hub or the store did not answer."""
    return isinstance(state.result(raise_on_failure=False), MENDABLE)


def _stage_task(name: str, run_name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    decorator = task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_condition_fn=is_mendable,
    )
    return cast("Callable[[Callable[P, R]], Callable[P, R]]", decorator)


@_stage_task("fetch checkpoint", "fetch {spec.checkpoint.repo}")
def fetch_checkpoint(pipeline: Pipeline, spec: Spec, commit: str, access: HubAccess) -> StageResult:
    """See `tasks.stages.fetch`."""
    return fetch.fetch_checkpoint(pipeline, spec, commit, access)


@_stage_task("fetch texts", "fetch {role}")
def fetch_texts(
    pipeline: Pipeline, spec: Spec, role: str, source: TextSource, location: Location, access: HubAccess
) -> StageResult:
    """See `tasks.stages.fetch`."""
    return fetch.fetch_texts(pipeline, spec, role, source, location, access)


@_stage_task("baseline", "baseline {variant.name}")
def measure_baseline(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, checkpoint: str
) -> baseline.Baseline:
    """See `tasks.stages.baseline`."""
    return baseline.measure_baseline(pipeline, spec, variant, checkpoint)


@_stage_task("quantize", "quantize {work.variant}")
def quantize_checkpoint(pipeline: Pipeline, work: WorkerStage) -> StageResult:
    """See `tasks.stages.quantize`."""
    return quantize.quantize(pipeline, work)


@_stage_task("build engine", "build {variant.name}")
def build_engine(pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, checkpoint: str) -> StageResult:
    """See `tasks.stages.build`."""
    return build.build_engine(pipeline, spec.name, variant, checkpoint)


@_stage_task("measure", "measure {variant.name}")
def measure_engine(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, protocol: JudgingProtocol, heldout: str
) -> measure.Measurements:
    """See `tasks.stages.measure`."""
    return measure.measure(pipeline, spec, variant, protocol, heldout)


@_stage_task("judge", "judge {case.variant.name}")
def judge_engine(
    pipeline: Pipeline, case: judge.Case, made: baseline.Baseline, measurements: measure.Measurements
) -> judge.Judged:
    """See `tasks.stages.judge`."""
    return judge.judge(pipeline, case, made, measurements)


@_stage_task("judge", "judge {case.variant.name}")
def judge_baseline(pipeline: Pipeline, case: judge.Case, made: baseline.Baseline, stay: Stay) -> judge.Judged:
    """See `tasks.stages.judge`."""
    return judge.judge_baseline(pipeline, case, made, stay)


@_stage_task("publish", "publish {spec.name}")
def publish_release(
    pipeline: Pipeline, spec: Spec, commit: str, entries: tuple[VariantRelease, ...]
) -> publish.Published | publish.Withheld:
    """See `tasks.stages.publish`."""
    return publish.publish(pipeline, spec, commit, entries)
