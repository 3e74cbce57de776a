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
`flows.prefect_run.page.own_run` does for a flow that is called in-process. The stack's server listens on this
host only, so a bare PID is of this host. A process that is younger than the run got a recycled id and does
not count.
"""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psutil
from pydantic import AwareDatetime, BaseModel

from flows.stack.components.prefect_api import PrefectApi
from flows.stack.system.processes import end

_PENDING_LIMIT = timedelta(minutes=10)
_PAGE = 200


class RunState(BaseModel):
    """What is needed of a run's state."""

    type: str
    timestamp: AwareDatetime


class Run(BaseModel):
    """What is needed of a flow run, as the server tells it."""

    id: UUID
    name: str
    infrastructure_pid: str | None = None
    start_time: AwareDatetime | None = None
    state: RunState


def reconcile_orphans(api: PrefectApi, *, worker_lives: bool = False) -> list[str]:
    """Bring runs of this host whose process is gone to a final state; returns a line for each.

    Args:
        api: the stack's Prefect server.
        worker_lives: a worker is running and will carry out cancellations itself.
    """
    lines = [_reconcile(api, run, worker_lives) for run in _unfinished(api)]
    return [line for line in lines if line]


def _unfinished(api: PrefectApi) -> Iterator[Run]:
    wanted = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    runs: list[Run] = []
    while page := api.post("flow_runs/filter", {"flow_runs": wanted, "limit": _PAGE, "offset": len(runs)}):
        runs += [Run.model_validate(entry) for entry in page]
    yield from runs  # only now: states change what the filter matches


def _reconcile(api: PrefectApi, run: Run, worker_lives: bool) -> str:
    process, reason = _owner(run)
    cancelling = run.state.type == "CANCELLING"
    if process is not None:
        if not cancelling or worker_lives:
            return ""
        end([process, *process.children(recursive=True)], grace_s=20)
        reason = f"cancelled while no worker was there; process {process.pid} was ended"
    if not reason:
        return ""
    name = "Cancelled" if cancelling else "Crashed"
    message = reason if cancelling else f"infrastructure: {reason}"
    state = {"type": name.upper(), "name": name, "message": message}
    api.post(f"flow_runs/{run.id}/set_state", {"state": state, "force": True})
    return f"run {run.name}: {name}: {reason}"


def _owner(run: Run) -> tuple[psutil.Process | None, str]:
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


def _lost_before_start(run: Run) -> str:
    if run.state.type != "PENDING":
        return ""
    waited = datetime.now(UTC) - run.state.timestamp
    return f"pending for {waited} without a process" if waited > _PENDING_LIMIT else ""
