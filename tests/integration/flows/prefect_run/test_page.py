"""What the server keeps of a run: a failure once, understood or with its traceback; progress to its end."""

import logging
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.sorting import LogSort
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Failed
from support.servers.prefect_database import prefect_harness

from artifacts.errors import EngineryError
from flows.prefect_run import log_error
from flows.prefect_run import page as run_page
from tasks.errors import EngineWrong, HubUnreachable, TaskError
from tasks.prefect_tasks import is_retryable

AWAY = HubUnreachable("the Hub is away", where="http://hub", fix="wait for it")
WRONG = EngineWrong("the engine answers nonsense", where="engine.pt2", fix="report it")


@pytest.fixture(scope="module", autouse=True)
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    logged = {PREFECT_LOGGING_TO_API_ENABLED: True}
    with prefect_harness(tmp_path_factory.mktemp("prefect")), temporary_settings(logged):
        yield


@task(name="fails", retries=2, retry_delay_seconds=0, retry_condition_fn=is_retryable)
def fails(error: Exception) -> NoReturn:
    raise error


@flow(name="fails")
def failing(errors: list[Any]) -> Any:
    """As the flow `build` does with what its stages raise."""
    try:
        fails(errors[0])
    except EngineryError as error:
        log_error(error)
        return Failed(message=f"{error.failure}: {error}", data=error)


@flow(name="above")
def above(errors: list[Any]) -> str:
    state = failing(errors, return_state=True)
    return str(state.state_details.flow_run_id)


def log_of(run: Any) -> list[tuple[int, str]]:
    APILogHandler().flush()
    with get_client(sync_client=True) as client:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
        return [(one.level, one.message) for one in client.read_logs(wanted, sort=LogSort.TIMESTAMP_ASC)]


def errors_in(log: list[tuple[int, str]]) -> list[str]:
    return [message for level, message in log if level >= logging.ERROR]


@pytest.mark.parametrize("error", [WRONG, AWAY])
def test_an_understood_error_of_a_task_is_reported_once_and_without_a_traceback(error: TaskError) -> None:
    state = failing([error], return_state=True)
    assert state.is_failed()
    assert state.message == f"{error.failure}: {error}"
    log = log_of(state.state_details.flow_run_id)
    assert errors_in(log) == [str(error)]
    assert sum(error.what in message for _, message in log) == 1
    assert not any("Traceback" in message for _, message in log)


def test_a_retry_says_why_it_is_one() -> None:
    state = failing([AWAY], return_state=True)
    retries = [message for _, message in log_of(state.state_details.flow_run_id) if "Retry" in message]
    assert len(retries) == 2
    assert all("HubUnreachable" in message and AWAY.what not in message for message in retries)


def test_a_flow_that_was_called_by_another_has_it_in_its_own_log() -> None:
    run = above([WRONG])
    assert errors_in(log_of(run)) == [str(WRONG)]


def test_a_defect_keeps_its_traceback() -> None:
    state = failing([ZeroDivisionError("a defect")], return_state=True)
    assert state.is_failed()
    (said,) = errors_in(log_of(state.state_details.flow_run_id))
    assert "Traceback" in said
    assert "ZeroDivisionError: a defect" in said


@flow(name="stages")
def staged(total: int, done: int, error: Exception | None) -> str:
    with run_page.Progress(total) as progress:
        progress.step(done)
        if error is not None:
            raise error
    return "done"


@pytest.mark.parametrize(
    ("done", "error", "description"),
    [
        (3, None, "all stages are done"),
        (2, None, "ended after 2 of 3 stages"),
        (1, WRONG, "ended after 1 of 3 stages"),
    ],
)
def test_progress_ends_at_its_end(done: int, error: Exception | None, description: str) -> None:
    state = staged(3, done, error, return_state=True)
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    (made,) = [one for one in found if one.type == "progress"]
    assert (made.data, made.description) == (100.0, description)
    assert made.task_run_id is not None, "the flow's own artifact is the page with the verdicts"
