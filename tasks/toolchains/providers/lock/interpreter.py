"""Finds the Python interpreter of the host that an environment is made with."""

import json
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import ToolchainUnavailable

# The exit code of a shell, and so of a shim, if there is no such program.
NOT_FOUND = 127
PROBE = """
import json, platform, sys
found = {"path": sys._base_executable, "version": platform.python_version(), "machine": platform.machine()}
print(json.dumps(found))
"""


class Interpreter(Frozen):
    """A Python interpreter of the host: not that of a virtual environment, and not a shim."""

    path: Path
    version: str = Field(description="Such as 3.11.7.")
    machine: str = Field(description="platform.machine().")


def find_interpreter(minor: str) -> Interpreter:
    """An interpreter of version `minor` ("3.11"): the one that runs this program, otherwise the one on PATH.

    Raises ToolchainUnavailable if there is none, or if it does not work.
    """
    if minor == ".".join(platform.python_version_tuple()[:2]):
        return _probe(sys.executable, minor)
    program = f"python{minor}"
    if found := shutil.which(program):
        return _probe(found, minor)
    raise ToolchainUnavailable(
        f"this toolchain needs Python {minor}, and there is no {program} on PATH",
        fix=f"apt install {program}, or put a Python {minor} from another source on PATH",
    )


def _probe(candidate: str, minor: str) -> Interpreter:
    done = _ask(candidate)
    if done.returncode == NOT_FOUND:
        raise ToolchainUnavailable(
            f"this toolchain needs Python {minor}, and {candidate} finds none: {done.stderr.splitlines()[0]}",
            fix=f"make python{minor} on PATH an interpreter; with pyenv: pyenv global (or shell) {minor}",
        )
    if done.returncode != 0:
        raise ToolchainUnavailable(
            f"{candidate} does not work: {done.stderr.strip().rpartition(chr(10))[2]}",
            fix=f"put a Python {minor} that works on PATH",
        )
    interpreter = Interpreter(**json.loads(done.stdout))
    if not interpreter.version.startswith(f"{minor}."):
        raise ToolchainUnavailable(
            f"{candidate} is Python {interpreter.version}, not {minor}", fix="correct PATH"
        )
    return interpreter


@cache
def _ask(candidate: str) -> "subprocess.CompletedProcess[str]":
    """What a program says of itself; one that does not work is also started only once."""
    return subprocess.run([candidate, "-I", "-c", PROBE], check=False, text=True, capture_output=True)
