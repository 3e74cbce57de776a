"""What the Prefect server of a stack knows of a run, asked as the UI asks."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log
from prefect.client.schemas.sorting import LogSort
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

PAGE = re.compile(r"runs/flow-run/([0-9a-f-]{36})")


@contextmanager
def server_of(env: Mapping[str, str]) -> Iterator[SyncPrefectClient]:
    """A client of the server that an environment names."""
    named = {
        setting: env[setting.name]
        for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)
        if setting.name in env
    }
    with temporary_settings(named), get_client(sync_client=True) as client:
        yield client


def run_ids(narration: str) -> list[UUID]:
    """The runs that a command narrated, in their order."""
    return [UUID(found) for found in dict.fromkeys(PAGE.findall(narration))]


def log_of(env: Mapping[str, str], run: UUID) -> list[Log]:
    """The log of a run as its page shows it, tasks included."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    with server_of(env) as client:
        return client.read_logs(wanted, limit=200, sort=LogSort.TIMESTAMP_ASC)
