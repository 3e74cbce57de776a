"""Cancelling a run that a command started: in Prefect's UI, or by `prefect flow-run cancel`.

Prefect carries out a cancellation for the runs of a worker alone. Any other run would go on, perhaps publish,
and replace the state `Cancelling` by its own.

Promises: a cancelled run ends as by Ctrl-C, within seconds, and its last state is `Cancelled`.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from uuid import UUID

from httpx import HTTPError
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectException
from prefect.logging.loggers import flow_run_logger
from prefect.runtime import flow_run as own_run
from prefect.states import Cancelled

EVERY_S = 5.0
# Not SIGINT, which is ignored where a shell started the command in the background.
INTERRUPTION = signal.SIGUSR1
MESSAGE = "somebody cancelled this run in Prefect; what is done is kept"

_carried_out: set[UUID] = set()


class _Watch:
    """A thread that looks at the state of one run until the run has ended."""

    def __init__(self, run_id: UUID) -> None:
        self._run_id = run_id
        self._ended = threading.Event()
        self._deciding = threading.Lock()
        # Prefect's settings are those of the run, also if they were set for a while only.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._look,), name="cancellation", daemon=True
        )

    def begin(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Interrupt nothing from now on."""
        with self._deciding:
            self._ended.set()

    def _look(self) -> None:
        with get_client(sync_client=True) as client:
            while not self._ended.wait(EVERY_S):
                try:
                    run = client.read_flow_run(self._run_id)
                except (HTTPError, PrefectException, ValueError):
                    continue  # what is wrong with the server, the run itself finds out, if it lasts
                if run.state is not None and run.state.is_cancelling():
                    self._interrupt(run)
                    return

    def _interrupt(self, run: FlowRun) -> None:
        with self._deciding:
            if not self._ended.is_set():
                flow_run_logger(run).warning(MESSAGE)
                _carried_out.add(run.id)
                # A real signal, which wakes the thread up whatever it waits for.
                signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPTION)


@contextmanager
def cancellable() -> Iterator[None]:
    """Have the flow that runs inside interrupted when its run is cancelled.

    A worker ends its own runs, and a run within another one ends with that. Only the main thread can be
    interrupted.
    """
    run_id = own_run.get_id()
    ended_by_others = own_run.get_parent_flow_run_id() or "PREFECT__FLOW_RUN_ID" in os.environ
    if run_id is None or ended_by_others or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch(UUID(run_id))
    before = signal.signal(INTERRUPTION, signal.default_int_handler)
    watch.begin()
    try:
        yield
    finally:
        watch.end()
        signal.signal(INTERRUPTION, before)


def settle_cancelled(
    flow: Flow[..., Any],  # noqa: ARG001  as Prefect calls it
    flow_run: FlowRun,
    state: State[Any],  # noqa: ARG001
) -> None:
    """Replace the state `Crashed` of a run that was interrupted because it was cancelled: a hook of flows."""
    if flow_run.id in _carried_out:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, Cancelled(message=MESSAGE), force=True)
