"""How long the command line takes to say something."""

import subprocess
import sys
import time
from statistics import median

RUNS = 10
COMMANDS = {"enginery --help": ("--help",), "enginery specs list": ("specs", "list")}


def report() -> None:
    """Print the median time of a few commands."""
    print(f"== command line (median of {RUNS} runs)")
    for name, arguments in COMMANDS.items():
        print(f"{name:<22} {median(_seconds(arguments) for _ in range(RUNS)):.3f} s")


def _seconds(arguments: tuple[str, ...]) -> float:
    program = [str(_program()), *arguments]
    begin = time.perf_counter()
    subprocess.run(program, check=True, capture_output=True)
    return time.perf_counter() - begin


def _program() -> str:
    return sys.executable.removesuffix("python") + "enginery"
