"""A server that a build starts for a moment, to see it become ready and answer a completion.

Standard library only. There is no time limit but the job's: how long loading, tuning and compiling take
depends on the model.
"""

import http.client
import json
import os
import resource
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tasks.workers.common.io import Refusal, say
from tasks.workers.common.tool import TAIL_LINES, fail, no_program

HOST = "127.0.0.1"
PROBE_EVERY_S = 0.2
PROBE_LIMIT_S = 5.0
ANSWER_LIMIT_S = 600.0
# What does not end by itself is killed, with everything that it started.
END_LIMIT_S = 60.0
PROMPT = "1, 2, 3,"


class TrialServer:
    """The server's process, and the thread that passes its lines on. To be used as a context.

    Once the context has ended, `processor_s` are the processor seconds that the server took, with those of
    the processes that it waited for.

    Args:
        argv: program and arguments.
        environment: its whole environment.
        directory: its working directory.
        keep_lines: how many of its last lines are kept; None: all.
        user: numbers of the user and the group that it runs as; None: this process's.

    Raises:
        Refusal: there is no such program.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: str | Path,
        *,
        keep_lines: int | None = TAIL_LINES,
        user: tuple[int, int] | None = None,
    ) -> None:
        self._argv = argv
        self.lines: deque[str] = deque(maxlen=keep_lines)
        self.processor_s = 0.0
        self._spent_before_s = _spent_s()
        self._started = time.monotonic()
        say(f"$ {shlex.join(argv)}")
        uid, gid = user or (None, None)
        try:
            self._process = subprocess.Popen(
                argv,
                env=environment,
                cwd=directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                user=uid,
                group=gid,
                extra_groups=None if user is None else (),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise no_program(argv[0]) from None
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._end_group()
        self.processor_s = round(_spent_s() - self._spent_before_s, 3)
        # What the server leaves behind may hold the pipe: its lines are not waited for.
        self._reader.join(PROBE_LIMIT_S)

    def await_ready(self, port: int, path: str) -> float:
        """Wait until it answers 200; returns the seconds since it was started.

        Raises:
            Refusal: it was killed, as the kernel does if the host's memory runs out.
            SystemExit: it ended in another way; the runner explains what its messages mean.
        """
        while True:
            if self._process.poll() is not None:
                self._reader.join()
                fail(Path(self._argv[0]).name, self._process.returncode, self.lines)
            if _answers(port, path):
                return round(time.monotonic() - self._started, 3)
            time.sleep(PROBE_EVERY_S)

    def _end_group(self) -> None:
        """Wait for the processes that the server started: they may still hold memory of a GPU."""
        ends = time.monotonic() + END_LIMIT_S
        with suppress(ProcessLookupError):  # raised once the group is empty
            while time.monotonic() < ends:
                os.killpg(self._process.pid, 0)
                time.sleep(PROBE_EVERY_S)
            os.killpg(self._process.pid, signal.SIGKILL)

    def _pass_on(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append(line.rstrip())
            say(self.lines[-1])


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_answer(port: int, model: str) -> None:
    """Ask for one completion.

    Raises:
        Refusal: the server does not answer with one.
    """
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 1, "temperature": 0}
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_LIMIT_S)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(asked), headers)
        response = connection.getresponse()
        status, body = response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(f"nothing ({error!r})") from None
    finally:
        connection.close()
    if status != http.HTTPStatus.OK or not json.loads(body).get("choices"):
        raise _no_answer(f"{status}: {body[:500]}")


def _spent_s() -> float:
    """Processor seconds of the child processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_LIMIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False  # it does not listen yet
    finally:
        connection.close()


def _no_answer(what: str) -> Refusal:
    fix = "read the server's lines above; try other engine.options"
    return Refusal("regression", f"the server became ready but answered a completion with {what}", fix=fix)
