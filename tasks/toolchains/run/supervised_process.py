"""The owner's side of the supervisor: starts a command, streams its lines, reports how it ended, and ends it.

Invariants:
- Leaving the context of a `Supervised` in any way, even by an exception that is not an `Exception`, ends its
  processes.
- Everything the command prints is in the log file before any caller gets it.
"""

import json
import math
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import WorkerFailed
from tasks.toolchains.run.log_lines import LineSplitter

SUPERVISOR = Path(__file__).with_name("supervisor.py")
TAIL_LINES = 20
# The lines that are searched for known messages: the cause may precede a backtrace longer than the tail.
RECENT_LINES = 400
GRACE_S = 10.0
# How often a thread that waits for output wakes up, so that an exception sent to it (cancellation) is
# delivered.
LOOK_UP_MS = 500
# Beyond the grace: what the supervisor may need to find that even SIGKILL does not end a process, and to run
# the command that ends what is not one of its processes.
END_LIMIT_S = 55.0


class Ending(Frozen):
    """How a supervised command ended, and what it used."""

    exit_code: int | None = Field(description="None if it was ended by a signal.")
    signal: int | None = Field(description="Number of the signal that ended it.")
    stopped: str | None = Field(description="Why the supervisor ended it; none if it ended by itself.")
    stragglers: int = Field(description="Processes that it left behind, which the supervisor ended.")
    oom_kills: int = Field(
        description="Processes that the kernel killed for memory meanwhile, on the whole host."
    )
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


class Supervised:
    """One running command with its supervisor; a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        time_limit_s: float,
        grace_s: float = GRACE_S,
        keep_fds: Sequence[int] = (),
        cwd: Path | None = None,
        end: Sequence[str] = (),
    ) -> None:
        """Start it. `keep_fds` stay open until the last of its processes has ended (locks).

        `end` is a command that is run if the first did not end by itself, to end what that one represents.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.recent: deque[str] = deque(maxlen=RECENT_LINES)
        self._grace_s = grace_s
        self._end, self._env = list(end), dict(env)
        self._log_file: IO[bytes] = log.open("ab", buffering=0)
        status_out, status_in = os.pipe()
        try:
            self._process = subprocess.Popen(
                supervisor_command(command, status_in, grace_s, time_limit_s, end),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
                env=self._env, cwd=cwd, start_new_session=True, pass_fds=(status_in, *keep_fds),
            )  # fmt: skip
        finally:
            os.close(status_in)
        self._lifeline, self._stdout = (
            cast("IO[bytes]", self._process.stdin),
            cast("IO[bytes]", self._process.stdout),
        )
        self._status = os.fdopen(status_out, "r", encoding="utf-8")
        self.supervisor_pid = self._process.pid
        self.pid = int(self._next_status().get("pid", self._process.pid))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        try:
            self._drain()
            self._end_in_place_of_supervisor()
        finally:
            for file in (self._stdout, self._status, self._log_file):
                file.close()

    def lines(self, until_s: float = math.inf) -> Iterator[str]:
        """Its output, line by line, until the last of its processes has closed it; also written to the log.

        `until_s` is the time on the monotonic clock at which to give up.
        """
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        splitter = LineSplitter()
        while time.monotonic() < until_s:
            if not poll.poll(LOOK_UP_MS):
                continue
            data = self._stdout.read(1 << 16)
            self._log_file.write(data)
            for line in splitter.feed(data) if data else splitter.end():
                self.tail.append(line)
                self.recent.append(line)
                yield line
            if not data:
                return

    def running(self, wait_s: float = 0.0) -> bool:
        """Whether the command is still running, after waiting at most `wait_s` for it to end."""
        deadline = time.monotonic() + wait_s
        # The supervisor may still be busy with what the command left behind: only the command itself counts.
        while self._process.poll() is None and _runs(self.pid):
            if time.monotonic() >= deadline:
                return True
            time.sleep(LOOK_UP_MS / 10_000)
        return False

    def stop(self) -> None:
        """Ask the supervisor to end it, by SIGTERM and, after the grace, by SIGKILL. Returns at once."""
        self._lifeline.close()

    def ending(self) -> Ending:
        """How it ended, after waiting for that. Raises WorkerFailed if the supervisor itself was killed."""
        self._process.wait()
        status = self._next_status()
        if not status:
            raise WorkerFailed(
                "the supervisor of a worker was killed", where=str(self.log), fix="run the command again"
            )
        return Ending(**status)

    def _drain(self) -> None:
        """Wait until all of it has ended; a supervisor that cannot end it is killed together with it."""
        deadline = time.monotonic() + self._grace_s + END_LIMIT_S
        for _ in self.lines(deadline):
            pass
        try:
            self._process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _end_in_place_of_supervisor(self) -> None:
        """Run the end command if the supervisor was killed: the kernel ended only the command itself."""
        if self._end and self._process.returncode:
            subprocess.run(
                self._end,
                env=self._env,
                check=False,
                timeout=END_LIMIT_S,
                stdout=self._log_file,
                stderr=self._log_file,
            )

    def _next_status(self) -> dict[str, Any]:
        line = self._status.readline()
        return dict(json.loads(line)) if line else {}


def supervisor_command(
    command: Sequence[str], status_fd: int, grace_s: float, time_limit_s: float, end: Sequence[str] = ()
) -> list[str]:
    """The argument list that runs `command` under the supervisor; `end` as in `Supervised`."""
    limits = (str(status_fd), str(grace_s), str(time_limit_s), json.dumps(list(end)))
    return [sys.executable, "-I", "-S", str(SUPERVISOR), *limits, "--", *command]


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
