"""Run the check: `python -m flows.gpu_check --help` lists its options."""

import shlex
import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from flows.cli.main import exit_code_of
from flows.gpu_check.check import run_check
from flows.gpu_check.options import Options

PROGRAM = "python -m flows.gpu_check"
DIRECTORIES = ("--results", "--stdlib")

app = App(name=PROGRAM, help_format="markdown", version_flags=[])


@app.default
def check(options: Annotated[Options | None, Parameter(name="*")] = None) -> int:
    """Train a checkpoint on this host's GPU; build, judge, publish, pull and serve engines; write a page.

    Toolchains have to be installed or adopted before (`enginery toolchain adopt NAME PYTHON`).

    Exit codes: 0 every variant that can run here has a verdict; 1 a step failed; 2 an argument is wrong; 4
    nothing can run here.

    For example:

        python -m flows.gpu_check --size 350M --variant aot-inductor/none
        python -m flows.gpu_check --cpu --size 2M --minutes 0.2 --itself none
    """
    return run_check(options or Options(), shown_command(sys.argv[1:]))


def shown_command(arguments: Sequence[str]) -> str:
    """Return the command as the page shows it: without directories of this host."""
    kept, paths = [], iter(arguments)
    for argument in paths:
        if argument in DIRECTORIES:
            next(paths, None)
        elif not argument.startswith(tuple(f"{name}=" for name in DIRECTORIES)):
            kept.append(argument)
    return shlex.join([*PROGRAM.split(), *kept])


def main(arguments: Sequence[str]) -> int:
    """Run the check with these arguments; return the exit code, or raise what is wrong."""
    code: int = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    return code or 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
