"""`enginery build` as a process of its own, watched line by line, killed where a test wants it."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from support.programs.cli import PROGRAM
from support.programs.processes import alive, wait_until

LINE_LIMIT_S = 400.0
END_LIMIT_S = 60.0


class Build:
    """One run of `enginery build SPEC --json`."""

    def __init__(self, spec: Path, env: Mapping[str, str], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, "build", str(spec), "--json", *arguments],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip())

    def log(self) -> str:
        """All that it narrated."""
        return "\n".join(self.lines)

    def saw(self, pattern: str) -> bool:
        """Whether a line matched."""
        return any(re.search(pattern, line) for line in self.lines)

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a line or a request, as long as the run lives."""
        wait_until(lambda: holds() or self._process.poll() is not None, LINE_LIMIT_S)
        assert holds(), f"ended before {what}:\n{self.log()}"

    def kill(self, number: signal.Signals) -> int:
        """Send a signal as a terminal or the kernel would; exit code, once every process is gone."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        if number is signal.SIGKILL:
            self._process.kill()
        else:
            os.killpg(self._process.pid, number)
        code = self._process.wait(END_LIMIT_S)
        wait_until(lambda: not any(alive(one.pid) for one in family), END_LIMIT_S)
        return code

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end; exit code, and the summary that it printed ({} where it printed none)."""
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        code = self._process.wait(END_LIMIT_S)
        self._reader.join(END_LIMIT_S)
        return code, json.loads(text) if text.strip() else {}
