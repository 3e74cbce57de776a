"""Daemons: starting them so that they outlive this program, finding them again, ending them and no others."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

MARK = "ENGINERY_STACK"  # environment of every process of a stack: the stack's directory
PART = "ENGINERY_STACK_PART"  # and the component that it belongs to; flow runs inherit the worker's

OWNER = "ENGINERY_SERVER_OWNER"  # environment of a process that ends with the one named: its process id
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_KILL_LIMIT_S = 10.0
_POLL_S = 0.05


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, umask: int = -1
) -> psutil.Process:
    """Start a daemon in its own session; the log of the previous start is kept next to the new one.

    Args:
        argv: program and arguments.
        env: its whole environment.
        cwd: its working directory.
        log: file for its output.
        umask: its umask; -1 for this process's own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A background job of a shell ignores SIGINT and its children inherit that; Prefect's worker ends only
        # by SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=umask,
        )
    process = psutil.Process(child.pid)
    child.returncode = 0  # it is meant to outlive this object, which would otherwise warn
    return process


def end_with_owner() -> None:
    """If the environment names the parent, have this process ended when the parent ends, however it ends."""
    owner = os.environ.get(OWNER)
    if owner is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(owner):  # it had ended before
        sys.exit(f"process {owner}, which started this one, is gone")


def marked(root: Path, part: str | None = None) -> list[psutil.Process]:
    """Return the living processes of the stack in `root`, or of its component `part`, except this one."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):  # it has ended or is another user's: not ours in either case
            continue
        ours = environment.get(MARK) == str(root) and part in {None, environment.get(PART)}
        if ours and process.pid != os.getpid() and _living(process):
            found.append(process)
    return found


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Ask the processes to end, wait, then kill what is left; return when all are gone."""
    _signal(processes, kill=False)
    left = _wait(processes, grace_s)
    _signal(left, kill=True)
    _wait(left, _KILL_LIMIT_S)


def end_part(root: Path, part: str, grace_s: float) -> int:
    """End every process of one component, including those that start meanwhile; return their number."""
    ended = 0
    deadline = time.monotonic() + 3 * grace_s + 10
    while (processes := marked(root, part)) and time.monotonic() < deadline:
        end(processes, grace_s)
        ended += len(processes)
    return ended


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented for an error message."""
    if not log.exists():
        return "    (no output)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:])


def _signal(processes: Sequence[psutil.Process], *, kill: bool) -> None:
    for process in processes:
        try:
            process.kill() if kill else process.terminate()
        except psutil.NoSuchProcess:
            continue


def _wait(processes: Sequence[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Wait until all processes have ended; return those that have not.

    A daemon whose parent is gone is a child of process 1, which in a container may take seconds to reap it,
    or never do so: a zombie counts as ended.
    """
    deadline = time.monotonic() + limit_s
    while (left := [process for process in processes if _living(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return left


def _living(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
