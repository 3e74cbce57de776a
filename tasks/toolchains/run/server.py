"""Runs servers by their serve commands on a free port of 127.0.0.1; they end with their owner."""

import contextvars
import math
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from artifacts.hosts import ServeCommand
from artifacts.ports import HOST, free_port, strangers_at
from tasks.errors import (
    ServerNotReady,
    TaskError,
    ToolRefused,
    ToolRefusedInput,
    WorkerCancelled,
    WorkerFailed,
    WorkerOutOfMemory,
)
from tasks.toolchains.records import Server, Toolchain
from tasks.toolchains.run.exit_status import failure, log_with_tail
from tasks.toolchains.run.ports import probe
from tasks.toolchains.run.serve_command import server_command, server_launch, server_scratch
from tasks.toolchains.run.supervised_process import Supervised

PORT_TAKEN = re.compile(r"address already in use|errno 98", re.IGNORECASE)
PORT_ATTEMPTS = 3
# How long a dying server may take between closing its connections and being gone.
DEATH_THROES_S = 1.0
PROBE_EVERY_S = 0.1

OnLine = Callable[[str], None]


class _PortTaken(ServerNotReady):
    """Another program's server answers on the port; ours would have been taken for it."""


@contextmanager
def serving(
    toolchain: Toolchain,
    serve_command: ServeCommand,
    tree: Path,
    *,
    log: Path,
    on_line: OnLine,
    ready_limit_s: float,
    extra_env: Mapping[str, str] | None = None,
    gpus: Sequence[str] = (),
    keep_fds: Sequence[int] = (),
) -> Iterator[Server]:
    """Serve a directory by its serve command while the context lasts, on a free port of 127.0.0.1.

    Raises ServerNotReady, with its last lines, if the server ends or the limit passes before it answers on
    `serve_command.ready_path`; WorkerOutOfMemory if it ran out of memory; WorkerFailed on leaving the context
    if the server ended by itself meanwhile. Output goes line by line to `on_line`, from a thread, and into
    `log` (appended). `gpus` are the UUIDs of the GPUs that it computes on. `keep_fds` stay open until the
    last of its processes has ended (locks).
    """
    tree = tree.absolute()
    title = f"the server of {tree.name} (toolchain {toolchain.name})"
    with server_scratch(toolchain, serve_command, tree) as scratch:

        def start(port: int) -> _Running:
            command = server_command(toolchain, serve_command, tree, scratch, HOST, port, serve_command.model)
            launch = server_launch(
                toolchain, serve_command, tree, scratch, command, extra_env=extra_env or {}, gpus=gpus
            )
            on_line(f"$ {shlex.join(launch.argv)}")
            process = Supervised(
                launch.argv,
                env=launch.env,
                log=log,
                time_limit_s=math.inf,
                keep_fds=keep_fds,
                end=launch.end,
                # Python programs import from where they are started, so not from wherever the user is.
                cwd=scratch,
            )
            return _Running(process, on_line, title, plain=toolchain.launcher.plain)

        running, server = _start_on_free_port(start, serve_command, on_line, ready_limit_s)
        with running:
            try:
                yield server
            except Exception:
                # A client's error often means that the server is dying, which may show a moment after the
                # connection was closed: then that is raised, with the client's error as its context.
                running.check(DEATH_THROES_S)
                raise
            running.check()


class _Running:
    """A server's process, and the thread that reads its output.

    If it is `plain`, processes of this host listen for it, and not those of a container.
    """

    def __init__(self, process: Supervised, on_line: OnLine, title: str, *, plain: bool) -> None:
        self.process = process
        self._plain = plain
        self._title = title
        self._on_line = on_line
        self._line_error: Exception | None = None
        # The context carries what the caller's logger needs to find its run.
        self._reader = threading.Thread(
            target=contextvars.copy_context().run, args=(self._read,), daemon=True
        )
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()
        self._reader.join()
        self.process.__exit__(kind, error, trace)
        if kind is None and self._line_error is not None:
            raise self._line_error

    def check(self, wait_s: float = 0.0) -> None:
        """Raise WorkerFailed if the server has ended by itself, or does so within `wait_s`."""
        if not self.process.running(wait_s):
            raise self._died() or WorkerFailed(
                f"{self._title} ended by itself with exit code 0", where=self._where()
            )

    def await_ready(self, serve_command: ServeCommand, port: int, limit_s: float) -> Server:
        """Wait for the readiness probe. Raises ServerNotReady, or WorkerOutOfMemory, with the last lines."""
        started = time.monotonic()
        while not probe(port, serve_command.ready_path):
            waited_s = time.monotonic() - started
            if not self.process.running():
                raise self._not_ready(f"ended before it was ready, after {waited_s:.1f} s")
            if waited_s > limit_s:
                raise self._not_ready(
                    f"was not ready within {limit_s:g} s: no answer on {serve_command.ready_path}"
                )
            time.sleep(PROBE_EVERY_S)
        # The answer may come from another server, on a port that ours found taken, or has yet to ask for.
        if not self.process.running():
            raise self._not_ready("ended at once")
        if self._plain and (strangers := strangers_at(port, self.process.supervisor_pid)):
            raise _PortTaken(
                f"port {port} of {self._title} was taken by {' and '.join(strangers)}",
                where=self._where(),
                fix="end other servers on ports from 20000 to 31999",
            )
        base_url, ready_s = f"http://{HOST}:{port}", time.monotonic() - started
        return Server(
            base_url=base_url,
            model=serve_command.model,
            pid=self.process.pid,
            log=self.process.log,
            ready_s=ready_s,
        )

    def _read(self) -> None:
        for line in self.process.lines():
            try:
                if self._line_error is None:
                    self._on_line(line)
            except Exception as error:  # noqa: BLE001  raised on leaving; the pipe must be read further
                self._line_error = error

    def _died(self) -> TaskError | None:
        """The error that says how it ended; None for exit code 0."""
        self._reader.join()
        return failure(self._title, self.process, self.process.ending(), math.inf)

    def _not_ready(self, what: str) -> TaskError:
        error = None if self.process.running() else self._died()
        if isinstance(error, ToolRefused | ToolRefusedInput | WorkerOutOfMemory | WorkerCancelled):
            return error
        how_it_died = f": {error.what.removeprefix(self._title).strip()}" if error else ""
        patience = f"read the log: {self.process.log}; a slow host may need ENGINERY_SERVER_READY_LIMIT_S"
        fix = error.fix if error else patience
        return ServerNotReady(f"{self._title} {what}{how_it_died}", where=self._where(), fix=fix)

    def _where(self) -> str:
        return log_with_tail(self.process)


def _start_on_free_port(
    start: Callable[[int], _Running], serve_command: ServeCommand, on_line: OnLine, ready_limit_s: float
) -> tuple[_Running, Server]:
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = free_port()
        running = start(port)
        try:
            return running, running.await_ready(serve_command, port, ready_limit_s)
        except BaseException as error:
            running.__exit__(type(error), error, error.__traceback__)
            taken = isinstance(error, _PortTaken) or (
                isinstance(error, ServerNotReady)
                and any(PORT_TAKEN.search(line) for line in running.process.tail)
            )
            if not taken or attempt == PORT_ATTEMPTS:
                raise
            on_line(f"port {port} was taken meanwhile; trying another one")
    raise AssertionError("unreachable: the last attempt returns or raises")
