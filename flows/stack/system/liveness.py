"""Which process is which. A process id is given out again; its birth, in clock ticks of one boot, is not.

Reads /proc directly: a host with the light install asks this too, to find the stack.
"""

from pathlib import Path

from flows.stack.system.state import Component

_PROC = Path("/proc")


def birth(pid: int) -> str:
    """Boot and clock tick at which a process was created; empty if there is none, or it is dead."""
    try:
        # The name stands in parentheses and may hold anything; after it, the first field is the state.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, ticks = fields[0], fields[19]
    return "" if state in {"Z", "X"} else f"{_boot_id()}:{ticks}"


def is_running(component: Component) -> bool:
    """Whether the recorded process itself is alive, not another one that got its id."""
    return component.pid is not None and component.birth != "" and birth(component.pid) == component.birth


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
