"""Ways to watch processes live and die."""

import time
from collections.abc import Callable
from pathlib import Path

# A look at a process or a file costs nothing; a request to Prefect's server takes a processor's time.
AT_ONCE_S, ASKING_S = 0.02, 0.5


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return bool(fields := _stat(pid)) and fields[0] not in "ZX"


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return _stat(pid)[:1] == ["T"]


def parent_of(pid: int) -> int:
    """The parent's process id."""
    return int(_stat(pid)[1])


def wait_until(holds: Callable[[], bool], limit_s: float = 30.0, every_s: float = AT_ONCE_S) -> None:
    """Wait for a condition; fails when the limit passes."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold within {limit_s} s"
        time.sleep(every_s)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []
