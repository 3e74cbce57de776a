"""Names of containers, which identify the owner, so that containers of owners that are gone can be found.

Process ids have a meaning only within one PID namespace: a pipeline that itself runs in a container has
another one than the host, and the same client may serve both.
"""

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

NAME = re.compile(r"enginery-(?P<user>\d+)-(?P<space>\d+)-(?P<pid>\d+)-(?P<birth>\d+)-[0-9a-f]+")


def prefix() -> str:
    """How names of this user's containers begin; processes of other users may be invisible to this one."""
    return f"enginery-{os.getuid()}-"


def new_name() -> str:
    """A name for a container of this process."""
    pid = os.getpid()
    return f"{prefix()}{_space()}-{pid}-{_birth(pid)}-{secrets.token_hex(6)}"


def left_behind(names: Iterable[str]) -> list[str]:
    """The names whose owner is gone; those of other PID namespaces, which are unknown here, are left out."""
    found = [match for match in map(NAME.fullmatch, names) if match and _is_ours(match)]
    return [match[0] for match in found if _birth(int(match["pid"])) != match["birth"]]


def _is_ours(match: re.Match[str]) -> bool:
    return (match["user"], match["space"]) == (str(os.getuid()), _space())


def _space() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _birth(pid: int) -> str | None:
    """The time at which a process was started, in ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
