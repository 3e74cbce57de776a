"""Identity of a process: its id may be reused, but not together with its birth, in clock ticks of one boot.

Reads /proc directly, because a host with the light install needs this too, to find the stack.
"""

from pathlib import Path

from flows.stack.system.state import Component

_PROC = Path("/proc")


def birth(pid: int) -> str:
    """Return the boot and clock tick at which a process was created; empty if there is none or it is dead."""
    try:
        # The name is in parentheses and may hold anything; the first field after it is the state.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, ticks = fields[0], fields[19]
    return "" if state in {"Z", "X"} else f"{_boot_id()}:{ticks}"


def is_running(component: Component) -> bool:
    """Return whether the recorded process itself is alive, not another one that got its id."""
    return component.pid is not None and component.birth != "" and birth(component.pid) == component.birth


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
