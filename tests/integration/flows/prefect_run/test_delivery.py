"""Once everything was delivered, nothing is left that the end of the process would wait for."""

from collections.abc import Iterator

import pytest
from prefect import flow, get_run_logger
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from support.servers.prefect_database import prefect_harness

from flows.prefect_run import deliver


@pytest.fixture(scope="module", autouse=True)
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    logged = {PREFECT_LOGGING_TO_API_ENABLED: True}
    with prefect_harness(tmp_path_factory.mktemp("prefect")), temporary_settings(logged):
        yield


def test_what_is_held_is_sent_and_its_senders_are_done() -> None:
    @flow
    def logs() -> None:
        get_run_logger().info("a line")

    logs()
    emit_event("enginery.tested", {"prefect.resource.id": "enginery.test"})
    senders = [*EventsWorker._instances.values(), *APILogWorker._instances.values()]
    assert senders, "something is held"
    deliver()
    assert all(one._done_event is not None and one._done_event.is_set() for one in senders)
    assert all(one._queue.empty() for one in senders)
    deliver()
