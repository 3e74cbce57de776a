"""Runs whose process is gone, and what becomes of them.

Prefect's worker reports the end of the runs that it started. Where the worker itself dies, or the whole
host, nobody does: such a run would stay Running for ever and keep its deployment's concurrency slot. So,
for runs of this host:

- Running, and its process is gone -> Crashed.
- Cancelling, and its process is gone -> Cancelled. Cancelling, and its process lives without a worker that
  could carry the cancellation out -> the process is ended, then Cancelled.
- Pending for minutes without ever getting a process -> Crashed.
- Running, and its process lives -> left alone: it reports its own end.

A run's process is known by `infrastructure_pid`: PID as the process worker writes it, or HOST:PID as
`record_owner` does for a flow that is called in-process. The stack's server listens on this host only, so a
bare PID is of this host. A process that is younger than the run got a recycled id and does not count.
"""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

from flows.stack.processes import end

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

_PENDING_LIMIT = timedelta(minutes=10)
_PAGE = 200


def record_owner(flow_run_id: UUID) -> None:
    """Note the calling process as the one that runs a flow, so that its death can be noticed."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        if client.read_flow_run(flow_run_id).infrastructure_pid is None:
            client.update_flow_run(flow_run_id, infrastructure_pid=f"{socket.gethostname()}:{os.getpid()}")


def reconcile_orphans(*, worker_lives: bool = False) -> list[str]:
    """Bring runs of this host whose process is gone to a final state; returns a line for each.

    Args:
        worker_lives: a worker is running and will carry out cancellations itself.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        lines = [_reconcile(client, run, worker_lives) for run in _unfinished(client)]
    return [line for line in lines if line]


def _unfinished(client: "SyncPrefectClient") -> Iterator["FlowRun"]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    chosen = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=wanted)))
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=chosen,
        sort=FlowRunSort.ID_DESC,  # required: without it the client sends a null that the server refuses
        limit=_PAGE,
        offset=len(runs),
    ):
        runs += page
    yield from runs  # only now: states change what the filter matches


def _reconcile(client: "SyncPrefectClient", run: "FlowRun", worker_lives: bool) -> str:
    from prefect.states import Cancelled, Crashed

    process, reason = _owner(run)
    cancelling = run.state is not None and run.state.is_cancelling()
    if process is not None:
        if not cancelling or worker_lives:
            return ""
        end([process, *process.children(recursive=True)], grace_s=20)
        reason = f"cancelled while no worker was there; process {process.pid} was ended"
    if not reason:
        return ""
    state: State[Any] = (
        Cancelled(message=reason) if cancelling else Crashed(message=f"{reason} (infrastructure)")
    )
    client.set_flow_run_state(run.id, state, force=True)
    return f"run {run.name}: {state.name}: {reason}"


def _owner(run: "FlowRun") -> tuple[psutil.Process | None, str]:
    """The living process of a run; else none, and the reason to call it lost (empty: not ours to judge)."""
    host, _, pid = (run.infrastructure_pid or "").rpartition(":")
    if not pid.isdigit():
        return None, _lost_before_start(run)
    if host not in {"", socket.gethostname()}:
        return None, ""
    gone = f"its process {pid} on this host is gone"
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return None, gone
        recycled = run.start_time is not None and process.create_time() > run.start_time.timestamp() + 5
    except psutil.NoSuchProcess:
        return None, gone
    return (None, f"{gone} (the id belongs to another program now)") if recycled else (process, "")


def _lost_before_start(run: "FlowRun") -> str:
    if run.state is None or not run.state.is_pending():
        return ""
    waited = datetime.now(UTC) - run.state.timestamp
    return f"pending for {waited} without a process" if waited > _PENDING_LIMIT else ""
