"""Starts the server that will serve the engine, waits until it answers a request, and ends it again.

Standard library only. TensorRT-LLM tunes its kernels and saves what it measured while a server starts, before
it listens; the request then shows that the parts of the tree fit together. The caller's time limit is the
only one: how long loading and tuning take depends on the model.
"""

import http.client
import json
import os
import shlex
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tasks.workers.common.io import Refusal, say
from tasks.workers.common.tool import TAIL_LINES, fail, no_program
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.trtllm_torch.request import WarmUp

HOST = "127.0.0.1"
PROBE_EVERY_S = 0.5
PROBE_LIMIT_S = 5.0
ANSWER_LIMIT_S = 600.0
# A server that does not end by itself is killed; the job's runner ends what it left.
END_LIMIT_S = 60.0
PROMPT = "1, 2, 3,"


def warm_up(command: ToolCommand, asked: WarmUp, places: Mapping[str, str]) -> float:
    """Serve once; returns the seconds until the server was ready.

    Args:
        command: starts the server.
        asked: how to query it.
        places: values of the placeholders, except {port} and those that `ToolCommand.filled` knows.

    Raises:
        Refusal: there is no such program, memory ran out, or it did not answer with a completion.
        SystemExit: it ended in another way; the runner explains what its messages mean.
    """
    port = _free_port()
    with _Server(command.filled({**places, "port": str(port)}), places["scratch"]) as server:
        ready_s = server.await_ready(port, asked.ready_path)
        say(f"ready after {ready_s:.1f} s")
        _require_answer(port, asked.model)
    return ready_s


class _Server:
    """The server's process, and the thread that passes its lines on."""

    def __init__(self, command: ToolCommand, directory: str) -> None:
        self._argv = command.argv
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        say(f"$ {shlex.join(self._argv)}")
        try:
            self._process = subprocess.Popen(
                self._argv,
                env=os.environ | command.env,
                cwd=directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            raise no_program(self._argv[0]) from None
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

    def await_ready(self, port: int, path: str) -> float:
        """Wait for the server; returns the seconds. Raises the same as `warm_up` if it ends instead."""
        started = time.monotonic()
        while True:
            if self._process.poll() is not None:
                self._reader.join()
                fail(Path(self._argv[0]).name, self._process.returncode, self._tail)
            if _answers(port, path):
                return round(time.monotonic() - started, 3)
            time.sleep(PROBE_EVERY_S)

    def _pass_on(self) -> None:
        for line in self._process.stdout or ():
            self._tail.append(line.rstrip())
            say(self._tail[-1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_LIMIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False  # it does not listen yet
    finally:
        connection.close()


def _require_answer(port: int, model: str) -> None:
    """Ask for one completion."""
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


def _no_answer(what: str) -> Refusal:
    fix = "read the server's lines above; try other engine.options"
    return Refusal("regression", f"the server became ready but answered a completion with {what}", fix=fix)
