"""Ways to watch processes live and die."""

import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return bool(fields := _stat(pid)) and fields[0] not in "ZX"


def parent_of(pid: int) -> int:
    """The parent's process id."""
    return int(_stat(pid)[1])


def wait_until(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait for a condition; fails when the limit passes."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold within {limit_s} s"
        time.sleep(0.02)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []
