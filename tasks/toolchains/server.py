"""Runs servers by their recipes: on a free port of 127.0.0.1, waited for, and gone with their owner."""

import contextvars
import http.client
import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from artifacts.engine import ServeRecipe
from tasks.errors import ServerNotReady, TaskError, WorkerCancelled, WorkerFailed, WorkerOutOfMemory
from tasks.toolchains.endings import failure, told_with_tail
from tasks.toolchains.environment import job_environment
from tasks.toolchains.records import Server, Toolchain
from tasks.toolchains.supervised import GRACE_S, Supervised, supervisor_command

HOST = "127.0.0.1"
# Below the range that Linux gives to outgoing connections (32768 and up), so that none of those takes a port
# between its being found free and the server's taking it.
PORTS = range(20_000, 32_000)
PORT_TAKEN = re.compile(r"address already in use|errno 98", re.IGNORECASE)
PORT_ATTEMPTS = 3
DEATH_THROES_S = 1.0
PROBE_EVERY_S = 0.1
PROBE_TIMEOUT_S = 5.0
# A server is ended by its owner; this only bounds one that is forgotten.
LIFETIME_S = 7 * 24 * 3600.0

OnLine = Callable[[str], None]


@contextmanager
def serving(
    toolchain: Toolchain,
    recipe: ServeRecipe,
    tree: Path,
    *,
    log: Path,
    on_line: OnLine,
    ready_limit_s: float,
    extra_env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Serve a directory by its recipe for the time of the context, on a free port of 127.0.0.1.

    Raises ServerNotReady if the server ends or the limit passes before it answers on `recipe.ready_path`,
    with its last lines; WorkerOutOfMemory if it ended for want of memory; WorkerFailed on leaving the context
    if the server ended by itself meanwhile. Output goes line by line to `on_line`, from a thread, and into
    `log` (appended).
    """
    title = f"the server of {tree.name} (toolchain {toolchain.name})"
    env = server_environment(toolchain, recipe, extra_env or {})

    def start(port: int) -> _Running:
        command = server_command(toolchain, recipe, tree, HOST, port)
        on_line(f"$ {shlex.join(command)}")
        return _Running(Supervised(command, env=env, log=log, time_limit_s=LIFETIME_S), on_line, title)

    running, server = _start_on_free_port(start, recipe, on_line, ready_limit_s)
    with running:
        try:
            yield server
        except Exception:
            # A client's error is often the server's death, which may follow the closed connection by a
            # moment: then that is what is told, with the client's error as its context.
            running.check(DEATH_THROES_S)
            raise
        running.check()


class _Running:
    """A server's process, and the thread that reads its output."""

    def __init__(self, process: Supervised, on_line: OnLine, title: str) -> None:
        self.process = process
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

    def await_ready(self, recipe: ServeRecipe, port: int, limit_s: float) -> Server:
        """Wait for the readiness probe. Raises ServerNotReady, or WorkerOutOfMemory, with the last lines."""
        started = time.monotonic()
        while not probe(port, recipe.ready_path):
            waited_s = time.monotonic() - started
            if not self.process.running():
                raise self._not_ready(f"ended before it was ready, after {waited_s:.1f} s")
            if waited_s > limit_s:
                raise self._not_ready(f"was not ready within {limit_s:g} s: no answer on {recipe.ready_path}")
            time.sleep(PROBE_EVERY_S)
        # What answered may be somebody else's server, on a port that ours found taken.
        if not self.process.running():
            raise self._not_ready("ended at once")
        base_url, ready_s = f"http://{HOST}:{port}", time.monotonic() - started
        return Server(
            base_url=base_url, model=recipe.model, pid=self.process.pid, log=self.process.log, ready_s=ready_s
        )

    def _read(self) -> None:
        for line in self.process.lines():
            try:
                if self._line_error is None:
                    self._on_line(line)
            except Exception as error:  # noqa: BLE001  raised on leaving; the server's pipe must be read on
                self._line_error = error

    def _died(self) -> TaskError | None:
        """The error that tells how it ended; None for exit code 0."""
        self._reader.join()
        return failure(self._title, self.process, self.process.ending(), LIFETIME_S)

    def _not_ready(self, what: str) -> TaskError:
        error = None if self.process.running() else self._died()
        if isinstance(error, WorkerOutOfMemory | WorkerCancelled):
            return error
        how_it_died = f": {error.what.removeprefix(self._title).strip()}" if error else ""
        fix = f"read the log: {self.process.log}; a slow host may need ENGINERY_SERVER_READY_LIMIT_S"
        return ServerNotReady(f"{self._title} {what}{how_it_died}", where=self._where(), fix=fix)

    def _where(self) -> str:
        return told_with_tail(self.process)


def _start_on_free_port(
    start: Callable[[int], _Running], recipe: ServeRecipe, on_line: OnLine, ready_limit_s: float
) -> tuple[_Running, Server]:
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = free_port()
        running = start(port)
        try:
            return running, running.await_ready(recipe, port, ready_limit_s)
        except BaseException as error:
            running.__exit__(type(error), error, error.__traceback__)
            taken = isinstance(error, ServerNotReady) and any(
                PORT_TAKEN.search(line) for line in running.process.tail
            )
            if not taken or attempt == PORT_ATTEMPTS:
                raise
            on_line(f"port {port} was taken meanwhile; trying another one")
    raise AssertionError("unreachable: the last attempt returns or raises")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerNotReady(
        f"no port of {HOST} between {PORTS.start} and {PORTS.stop} is free", fix="end other servers"
    )


def probe(port: int, path: str) -> bool:
    """Whether a GET of this path on 127.0.0.1 is answered with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def server_command(toolchain: Toolchain, recipe: ServeRecipe, tree: Path, host: str, port: int) -> list[str]:
    """The recipe's argument list on this host."""
    python, bin_dir = str(toolchain.python), str(toolchain.bin_dir)
    return recipe.command(python=python, bin_dir=bin_dir, tree=str(tree.absolute()), host=host, port=port)


def server_environment(
    toolchain: Toolchain, recipe: ServeRecipe, extra_env: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a server: that of a job, and the recipe's own."""
    return job_environment(toolchain, recipe.env | dict(extra_env), os.environ)


def run_foreground(toolchain: Toolchain, recipe: ServeRecipe, tree: Path, host: str, port: int) -> int:
    """Serve a directory until the server ends or this process is told to (SIGINT, SIGTERM, SIGHUP).

    The server writes to this process's stdout and stderr. Returns its exit code, or 128 + the signal's number
    as shells do. To be called from the main thread.
    """
    command = server_command(toolchain, recipe, tree, host, port)
    env = server_environment(toolchain, recipe, {})
    status_out, status_in = os.pipe()
    process = subprocess.Popen(
        supervisor_command(command, status_in, GRACE_S, LIFETIME_S),
        stdin=subprocess.PIPE, env=env, start_new_session=True, pass_fds=(status_in,),
    )  # fmt: skip
    os.close(status_in)
    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {
        number: signal.signal(number, lambda number, _: process.send_signal(number)) for number in forwarded
    }
    try:
        process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    with os.fdopen(status_out, encoding="utf-8") as status:
        return _exit_code(status.read().splitlines())


def _exit_code(status: list[str]) -> int:
    # Only the pid was told: the supervisor was killed, and its command with it.
    ended: dict[str, Any] = json.loads(status[-1]) if len(status) > 1 else {"signal": signal.SIGKILL}
    return 128 + int(ended["signal"]) if ended["signal"] else int(ended["exit_code"])
