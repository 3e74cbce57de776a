"""Which processes a process has started, directly or through others. Standard processes of this host only."""

import psutil


def family(pid: int | None) -> set[int]:
    """Return the ids of a process and of its descendants; none if it is gone."""
    if pid is None:
        return set()
    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def descends(pid: int, ancestor: int) -> bool:
    """Return whether a process is `ancestor`, or descends from it."""
    try:
        return pid == ancestor or any(one.pid == ancestor for one in psutil.Process(pid).parents())
    except psutil.Error:
        return False
