"""Runs the commands that a kind decided, and says how one ended that failed.

Standard library only. Commands hold {python}, {bin}, {checkpoint}, {output} and {scratch}, and run in
{scratch}; nothing else of them is changed here.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from worker_io import Refusal, say  # type: ignore[import-not-found]

TAIL_LINES = 200
# What the tool says last where several ranks are built at once; the cause stands before it.
SEE_ABOVE = "please check error log"
TOLD = re.compile(r"\b\w*(?:Error|Exception)\b|\bassert|\[E\]")


@dataclass(frozen=True)
class Places:
    """Where the commands' placeholders are."""

    checkpoint: Path
    output: Path
    scratch: Path

    def filled(self, text: str) -> str:
        """Put paths in the place of placeholders."""
        python = Path(sys.executable)
        values = {"python": python, "bin": python.parent, **vars(self)}
        return text.format(**{name: str(path) for name, path in values.items()})


def run_commands(commands: Sequence[Mapping[str, Any]], places: Places) -> dict[str, float]:
    """Run them in order; returns the seconds that each took, by its name.

    Raises:
        Refusal: one was killed, or is not there.
        SystemExit: one ended in another way without success; the worker ends with it, as a failure.
    """
    return {command["name"]: _run(command, places) for command in commands}


def _run(command: Mapping[str, Any], places: Places) -> float:
    argv = [places.filled(part) for part in command["argv"]]
    env = {name: places.filled(value) for name, value in command["env"].items()}
    say(f"$ {shlex.join(argv)}")
    started = time.monotonic()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process = subprocess.Popen(
            argv,
            env=os.environ | env,
            cwd=places.scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise _no_program(argv[0]) from None
    with process:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            say(tail[-1])
    if process.returncode:
        fail(Path(argv[0]).name, process.returncode, tail)
    return round(time.monotonic() - started, 3)


def fail(program: str, code: int, tail: Iterable[str]) -> NoReturn:
    """Say how a program of the tool ended. What its own messages mean, the runner tells, which sees them too.

    Args:
        program: its name.
        code: what it ended with; negative: the signal that killed it.
        tail: its last lines.

    Raises:
        Refusal: it was killed as the kernel kills where the host's memory runs out.
        SystemExit: anything else.
    """
    if code == -signal.SIGKILL:
        what = f"{program} was killed (SIGKILL), most likely by the kernel because the host's memory ran out"
        fix = "build on a host with more memory, or with fewer workers"
        raise Refusal("out-of-memory", what, program, fix)
    lines = [line for line in tail if SEE_ABOVE not in line]
    told = next((line for line in reversed(lines) if TOLD.search(line)), lines[-1] if lines else "")
    raise SystemExit(f"{program} {_ended(code)}" + (f": {told.strip()}" if told else ""))


def _ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"


def _no_program(program: str) -> Refusal:
    fix = "install the toolchain again: enginery toolchain install NAME"
    return Refusal("unsupported", f"the toolchain has no program {Path(program).name}", program, fix)
