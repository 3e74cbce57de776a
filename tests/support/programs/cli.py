"""Running the command line: as users do, in a process of its own, or in this one.

A process of its own takes a quarter of a second of a processor before it does anything. It is for what only a
process shows: exit codes as such, signals, closed streams, imports, and what a variable does to those.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

PROGRAM = (sys.executable, "-c", "from flows.cli.main import main; main()")


def run_cli(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `enginery` with this environment and `env` over it; returns what it wrote and its exit code."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_here(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Do what `run_cli` does in this process; variables that a command sets are gone afterwards."""
    # Importing it takes a while, and most who import this module start programs.
    from flows.cli.main import run

    words = [str(one) for one in arguments]
    out, err = StringIO(), StringIO()
    with (
        mock.patch.dict(os.environ, env or {}),
        chdir(cwd or Path.cwd()),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = run(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
