"""Finds what the host must bring: a Python interpreter of the declared version, and compilers."""

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

# What a shell exits with, and so a shim, when there is no such program.
NOT_FOUND = 127
PROBE = """
import ensurepip, json, pathlib, platform, sys, venv
# The second is where Debian keeps what it takes out of the first.
folders = [pathlib.Path(ensurepip.__file__).parent / "_bundled", pathlib.Path("/usr/share/python-wheels")]
pip_wheel, *_ = [str(wheel) for folder in folders for wheel in folder.glob("pip-*.whl")]
found = {"path": sys._base_executable, "version": platform.python_version(), "machine": platform.machine()}
print(json.dumps(found | {"pip_wheel": pip_wheel}))
"""


class Interpreter(Frozen):
    """A Python interpreter of the host, no virtual environment's and no shim."""

    path: Path
    version: str = Field(description="Such as 3.11.7.")
    machine: str = Field(description="platform.machine().")
    pip_wheel: Path = Field(description="The wheel of pip that comes with it.")


class Program(Frozen):
    """A program of the host that a toolchain needs."""

    path: Path
    version: str = Field(description="First line that it prints when asked for its version.")


@cache
def find_interpreter(minor: str) -> Interpreter:
    """An interpreter of version `minor` ("3.11"): the one that runs this, else the one on PATH.

    Raises ToolchainUnavailable if there is none, or if it cannot make virtual environments.
    """
    if minor == ".".join(platform.python_version_tuple()[:2]):
        return _probe(sys.executable, minor)
    program = f"python{minor}"
    if found := shutil.which(program):
        return _probe(found, minor)
    raise ToolchainUnavailable(
        f"this toolchain needs Python {minor}, and there is no {program} on PATH",
        fix=f"apt install {program} {program}-venv, or put a Python {minor} of another source on PATH",
    )


def find_programs(programs: dict[str, str]) -> dict[str, Program]:
    """The named programs on PATH; `programs` gives the Debian package of each.

    Raises ToolchainUnavailable that names all that are missing.
    """
    found = {name: shutil.which(name) for name in programs}
    if missing := [name for name, path in found.items() if path is None]:
        packages = " ".join(programs[name] for name in missing)
        raise ToolchainUnavailable(
            f"this toolchain needs programs that are not on PATH: {', '.join(missing)}",
            fix=f"apt install {packages}",
        )
    return {name: Program(path=Path(path), version=_version(path)) for name, path in found.items() if path}


def _version(path: str) -> str:
    done = subprocess.run([path, "--version"], check=True, text=True, capture_output=True)
    return done.stdout.partition("\n")[0].strip()


def _probe(candidate: str, minor: str) -> Interpreter:
    done = subprocess.run([candidate, "-I", "-c", PROBE], check=False, text=True, capture_output=True)
    if done.returncode == NOT_FOUND:
        raise ToolchainUnavailable(
            f"this toolchain needs Python {minor}, and {candidate} finds none: {done.stderr.splitlines()[0]}",
            fix=f"make python{minor} on PATH an interpreter: with pyenv, pyenv global (or shell) {minor}",
        )
    if done.returncode != 0:
        raise ToolchainUnavailable(
            f"{candidate} cannot make virtual environments: {done.stderr.strip().rpartition(chr(10))[2]}",
            fix=f"apt install python{minor}-venv",
        )
    interpreter = Interpreter(**json.loads(done.stdout))
    if not interpreter.version.startswith(f"{minor}."):
        raise ToolchainUnavailable(
            f"{candidate} is Python {interpreter.version}, not {minor}", fix="mend PATH"
        )
    return interpreter
