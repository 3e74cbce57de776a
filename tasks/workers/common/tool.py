"""Runs the commands that a kind decided on, and reports how a failed one ended.

Standard library only. Apart from their placeholders, commands are run as they are.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tasks.workers.common.io import Refusal, say
from tasks.workers.common.tool_command import ToolCommand

TAIL_LINES = 200
# The tool's last words if several ranks are built at once; the cause comes before them.
SEE_ABOVE = "please check error log"
CAUSE = re.compile(r"\b\w*(?:Error|Exception)\b|\bassert|\[E\]")


def run_commands(commands: Sequence[ToolCommand], places: Mapping[str, str]) -> dict[str, float]:
    """Run commands in order, in the directory `scratch` of the places.

    Args:
        commands: the commands, with placeholders.
        places: values of the placeholders, except those that `ToolCommand.filled` knows.

    Returns:
        The seconds that each took, by its name.

    Raises:
        Refusal: a command was killed, or there is no such program.
        SystemExit: a command failed in another way; the worker ends with it, as a failure.
    """
    return {command.name: _run(command.filled(places), places["scratch"]) for command in commands}


def no_program(program: str) -> Refusal:
    """The refusal to raise if a program of the toolchain is missing."""
    fix = "install the toolchain again: enginery toolchain install NAME"
    return Refusal("unsupported", f"the toolchain has no program {Path(program).name}", program, fix)


def _run(command: ToolCommand, directory: str) -> float:
    argv = command.argv
    say(f"$ {shlex.join(argv)}")
    started = time.monotonic()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process = subprocess.Popen(
            argv,
            env=os.environ | command.env,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise no_program(argv[0]) from None
    with process:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            say(tail[-1])
    if process.returncode:
        fail(Path(argv[0]).name, process.returncode, tail)
    return round(time.monotonic() - started, 3)


def fail(program: str, code: int, tail: Iterable[str]) -> NoReturn:
    """Report how a program of the tool ended. The runner, which also sees its messages, explains them.

    Args:
        program: its name.
        code: its exit code; if negative, the signal that killed it.
        tail: its last lines.

    Raises:
        Refusal: it was killed by SIGKILL, as the kernel does if the host's memory runs out.
        SystemExit: anything else.
    """
    if code == -signal.SIGKILL:
        what = f"{program} was killed (SIGKILL), most likely by the kernel because the host's memory ran out"
        fix = "build on a host with more memory, or with fewer workers"
        raise Refusal("out-of-memory", what, program, fix)
    lines = [line for line in tail if SEE_ABOVE not in line]
    cause = next((line for line in reversed(lines) if CAUSE.search(line)), lines[-1] if lines else "")
    raise SystemExit(f"{program} {_ended(code)}" + (f": {cause.strip()}" if cause else ""))


def _ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"
