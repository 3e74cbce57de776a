"""The stages as Prefect tasks: names, retries, and nothing else.

Prefect's own result cache is off: its keys depend on the run, ours on the content. Results are digests and
figures. Only what a retry can fix is retried, decided by the class of the error: an unreachable Hub or store,
or a broken connection.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from artifacts.errors import StoreRefused, StoreUnreachable
from artifacts.releases import VariantRelease
from engine_specs.spec import Spec
from tasks.errors import HubUnreachable
from tasks.judging.decide import Stay
from tasks.runs import Pipeline, StageResult
from tasks.stages import JobNode, Sources, baseline, draft, fetch, judge, measure, publish

RETRYABLE = (HubUnreachable, StoreUnreachable, ConnectionError)
RETRY_DELAYS_S = [5.0, 30.0]
P = ParamSpec("P")
R = TypeVar("R")


def is_retryable(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may help, because the Hub, the store or a connection failed, and did not refuse."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, RETRYABLE) and not isinstance(error, StoreRefused)


def _stage_task(name: str, run_name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    decorator = task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_condition_fn=is_retryable,
    )
    return cast("Callable[[Callable[P, R]], Callable[P, R]]", decorator)


@_stage_task("fetch checkpoint", "fetch {node.repo}")
def fetch_checkpoint(pipeline: Pipeline, node: fetch.FetchCheckpoint, sources: Sources) -> StageResult:
    """See `tasks.stages.fetch`."""
    return node.run(pipeline, sources)


@_stage_task("add draft", "fetch {node.variant}")
def add_draft(pipeline: Pipeline, node: draft.AddDraft, trees: dict[str, str]) -> StageResult:
    """See `tasks.stages.draft`."""
    return node.run(pipeline, trees)


@_stage_task("fetch texts", "fetch {node.variant}")
def fetch_texts(pipeline: Pipeline, node: fetch.FetchTexts, sources: Sources) -> StageResult:
    """See `tasks.stages.fetch`."""
    return node.run(pipeline, sources)


@_stage_task("fetch task", "fetch {node.variant}")
def fetch_task(pipeline: Pipeline, node: fetch.FetchTask, sources: Sources) -> StageResult:
    """See `tasks.stages.fetch`."""
    return node.run(pipeline, sources)


@_stage_task("baseline", "baseline {node.variant}")
def measure_baseline(
    pipeline: Pipeline, node: baseline.MeasureBaseline, trees: dict[str, str]
) -> baseline.Baseline:
    """See `tasks.stages.baseline`."""
    return node.run(pipeline, trees)


@_stage_task("quantize", "quantize {node.variant}")
def quantize_checkpoint(pipeline: Pipeline, node: JobNode, trees: dict[str, str]) -> StageResult:
    """See `tasks.stages.quantize`."""
    return node.run(pipeline, trees)


@_stage_task("build engine", "build {node.variant}")
def build_engine(pipeline: Pipeline, node: JobNode, trees: dict[str, str]) -> StageResult:
    """See `tasks.stages.build`."""
    return node.run(pipeline, trees)


@_stage_task("measure", "measure {node.variant}")
def measure_engine(pipeline: Pipeline, node: measure.Measure, trees: dict[str, str]) -> measure.Measurements:
    """See `tasks.stages.measure`."""
    return node.run(pipeline, trees)


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
