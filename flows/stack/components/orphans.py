"""Runs whose process is gone, and how they are closed.

Prefect's worker reports the end of the runs that it started. If the worker itself dies, or the whole host,
nothing does: such a run would stay Running for ever and keep its deployment's concurrency slot. So, for runs
of this host:

- Running, and its process is gone -> Crashed.
- Cancelling, and its process is gone -> Cancelled. Cancelling, and its process runs but no worker can carry
  out the cancellation -> the process is ended, then Cancelled.
- Pending for minutes without ever getting a process -> Crashed.
- Running, and its process runs -> left alone: it reports its own end.

`infrastructure_pid` identifies a run's process: PID as the process worker writes it, or HOST:PID as
`flows.prefect_run.page.register_process` does for a flow that is called in-process. The stack's server
listens on this host only, so a bare PID is of this host. A process that started after the run has a recycled
id and does not count.
"""

import socket
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psutil
from pydantic import AwareDatetime, BaseModel

from flows.stack.components.prefect_api import PrefectApi
from flows.stack.system.processes import end

_PENDING_LIMIT = timedelta(minutes=10)
_PAGE = 200


class RunState(BaseModel):
    """The part of a run's state that is needed here."""

    type: str
    timestamp: AwareDatetime


class Run(BaseModel):
    """The part of a flow run that is needed here, as the server reports it."""

    id: UUID
    name: str
    infrastructure_pid: str | None = None
    start_time: AwareDatetime | None = None
    state: RunState


def reconcile_orphans(api: PrefectApi, *, worker_runs: bool = False) -> list[str]:
    """Bring the runs of this host whose process is gone to a final state; return a line per run.

    Args:
        api: the stack's Prefect server.
        worker_runs: a worker is running and will carry out cancellations itself.
    """
    lines = [_reconcile(api, run, worker_runs) for run in _unfinished(api)]
    return [line for line in lines if line]


def runs_of_commands(api: PrefectApi, of_worker: Collection[int]) -> list[str]:
    """Return a line per run that a command of this host is executing now.

    Args:
        api: the stack's Prefect server.
        of_worker: ids of the worker's processes, whose runs are left out.
    """
    owned = [(run, _owner(run)[0]) for run in _unfinished(api)]
    return [
        f"run {run.name} of process {process.pid}"
        for run, process in owned
        if process is not None and process.pid not in of_worker
    ]


def _unfinished(api: PrefectApi) -> Iterator[Run]:
    wanted = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    runs: list[Run] = []
    while page := api.post("flow_runs/filter", {"flow_runs": wanted, "limit": _PAGE, "offset": len(runs)}):
        runs += [Run.model_validate(entry) for entry in page]
    yield from runs  # only now, because a changed state changes what the filter matches


def _reconcile(api: PrefectApi, run: Run, worker_runs: bool) -> str:
    process, reason = _owner(run)
    cancelling = run.state.type == "CANCELLING"
    if process is not None:
        if not cancelling or worker_runs:
            return ""
        end([process, *process.children(recursive=True)], grace_s=20)
        reason = f"cancelled while no worker was running; process {process.pid} was ended"
    if not reason:
        return ""
    name = "Cancelled" if cancelling else "Crashed"
    message = reason if cancelling else f"infrastructure: {reason}"
    state = {"type": name.upper(), "name": name, "message": message}
    api.post(f"flow_runs/{run.id}/set_state", {"state": state, "force": True})
    return f"run {run.name}: {name}: {reason}"


def _owner(run: Run) -> tuple[psutil.Process | None, str]:
    """Return a run's living process, or None and why the run is orphaned (empty if that is unknown here)."""
    host, _, pid = (run.infrastructure_pid or "").rpartition(":")
    if not pid.isdigit():
        return None, _never_started(run)
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
    return (None, f"{gone} (another program has its id now)") if recycled else (process, "")


def _never_started(run: Run) -> str:
    if run.state.type != "PENDING":
        return ""
    waited = datetime.now(UTC) - run.state.timestamp
    return f"pending for {waited} without a process" if waited > _PENDING_LIMIT else ""
