# ruff: noqa: PTH123, PTH208, S606  this program consists of bare operating system calls
"""The small process between the pipeline and everything heavy, which ensures that nothing outlives its owner.

Run as `python -I -S supervisor.py STATUS_FD GRACE_S TIME_LIMIT_S END -- ARGV..`, in a session of its own,
with a pipe from its owner as stdin; END is a JSON list with the arguments of a command, or empty. Standard
library only, one thread. Invariants:
- The command runs until it ends, or until the pipe closes, the owner dies, the time limit passes or a signal
  arrives. Then it and all its descendants, even those in sessions of their own, get SIGTERM and, after the
  grace, SIGKILL.
- Descendants cannot escape: the supervisor is their subreaper, so a process that loses its parent becomes its
  child.
- If the command has ended by itself, descendants that it left behind are ended in the same way.
- If the command did not end by itself with an exit code, END is run at last: it ends what the command
  represents and no signal reaches, such as a container.
- If the supervisor itself is killed, the kernel kills the command (parent-death signal).
- STATUS_FD gets one JSON line with the command's pid once it runs, and one with how it ended.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05
KILL_LIMIT_S = 20.0
END_LIMIT_S = 30.0
# If memory runs out, the kernel is to kill the command rather than the supervisor or its owner.
OOM_SCORE_ADJ = "500"

_libc = ctypes.CDLL(None, use_errno=True)


def main(argv: list[str]) -> None:
    """Supervise one command to its end; see the module's docstring."""
    status_fd, grace_s, time_limit_s = int(argv[0]), float(argv[1]), float(argv[2])
    command = argv[argv.index("--") + 1 :]
    _keep_to_ourselves_all_but_stdio()
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    owner_fd = _owner_pidfd()
    wakeup_fd = _wake_on_signals()
    started = time.monotonic()
    oom_kills = _oom_kills()
    child = _start(command)
    _report(status_fd, {"pid": child})
    ended = _Ended(child)
    stopped = _watch(ended, [0, owner_fd], wakeup_fd, started + time_limit_s)
    stragglers = _end_descendants(ended, grace_s)
    if stopped or ended.status is None or os.WIFSIGNALED(ended.status):
        _run_end(json.loads(argv[3]))
    outcome = ended.outcome() | {
        "wall_s": time.monotonic() - started,
        "stopped": stopped,
        "stragglers": stragglers,
        "oom_kills": _oom_kills() - oom_kills,
    }
    _report(status_fd, outcome)


class _Ended:
    """How the command ended, as learnt while all children are reaped."""

    def __init__(self, child: int) -> None:
        self.child = child
        self.status: int | None = None
        self.rusage: Any = None

    def reap(self) -> None:
        """Collect every child that has ended, the command and adopted orphans alike."""
        while True:
            try:
                pid, status, rusage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child:
                self.status, self.rusage = status, rusage

    def outcome(self) -> dict[str, Any]:
        """Exit code or signal, and what the command used; none of it if it could not even be killed."""
        if self.status is None:
            return {"exit_code": None, "signal": None, "peak_rss_bytes": 0, "cpu_s": 0.0}
        killed = os.WIFSIGNALED(self.status)
        return {
            "exit_code": None if killed else os.WEXITSTATUS(self.status),
            "signal": os.WTERMSIG(self.status) if killed else None,
            "peak_rss_bytes": self.rusage.ru_maxrss * 1024,
            "cpu_s": self.rusage.ru_utime + self.rusage.ru_stime,
        }


def _watch(ended: _Ended, lifelines: list[int], wakeup_fd: int, deadline: float) -> str | None:
    """Wait for the command to end (None) or for a reason to end it."""
    poll = select.poll()
    for fd in (*lifelines, wakeup_fd):
        poll.register(fd, select.POLLIN)
    while True:
        ended.reap()
        if ended.status is not None:
            return None
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return "time-limit"
        ready = {fd for fd, _ in poll.poll(min(left_s, 60.0) * 1000)}
        if wakeup_fd in ready:
            signals = set(os.read(wakeup_fd, 64)) - {signal.SIGCHLD}
            if signals:
                return f"signal {min(signals)}"
        if lifelines[0] in ready:
            return "asked"
        if lifelines[1] in ready:
            return "owner-died"


def _end_descendants(ended: _Ended, grace_s: float) -> int:
    """Send all descendants SIGTERM and, after the grace, SIGKILL until none is left; returns their number."""
    found = _descendants()
    _send(found, signal.SIGTERM)
    # Otherwise those that were suspended, to measure others undisturbed, would get it only if they went on.
    _send(found, signal.SIGCONT)
    grace_ends = time.monotonic() + grace_s
    gives_up = grace_ends + KILL_LIMIT_S
    left = found
    # The first thread of a large process turns into a zombie before its other threads are gone and its status
    # is available: until then it does not count as living, and has not ended either.
    while (left or ended.status is None) and time.monotonic() < gives_up:
        time.sleep(POLL_S)
        ended.reap()
        left = _descendants()
        # Again each time: what was forked meanwhile has to end, too.
        if time.monotonic() >= grace_ends:
            _send(left, signal.SIGKILL)
    ended.reap()
    return len(found)


def _run_end(command: list[str]) -> None:
    """Run the command that ends what ours represented; its failure is reported in our command's output."""
    if not command:
        return
    import subprocess  # most commands need none of this, and the supervisor's start is part of every job

    try:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=END_LIMIT_S
        )
        failure = done.stdout if done.returncode else b""
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error).encode()
    if failure:
        os.write(2, b"could not be ended by " + " ".join(command).encode() + b": " + failure.strip() + b"\n")


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _living_parent(entry)):
            children.setdefault(parent, []).append(int(entry))
    found, frontier = [], [os.getpid()]
    while frontier:
        frontier = [child for pid in frontier for child in children.get(pid, [])]
        found += frontier
    return found


def _living_parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything, spaces and parentheses included.
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return None
    return None if state in (b"Z", b"X") else int(parent)


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _start(command: list[str]) -> int:
    supervisor = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(127)
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(OOM_SCORE_ADJ)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _owner_pidfd() -> int:
    """A descriptor that becomes readable when the owner dies.

    The pipe alone would not show that: a process that the owner forked may hold the other end open.
    """
    owner = os.getppid()
    try:
        descriptor = os.pidfd_open(owner)
    except ProcessLookupError:
        sys.exit("the owner is gone")
    if os.getppid() != owner:
        sys.exit("the owner is gone")
    return descriptor


def _wake_on_signals() -> int:
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return readable


def _keep_to_ourselves_all_but_stdio() -> None:
    for entry in os.listdir("/proc/self/fd"):
        if int(entry) > 2:
            try:
                os.set_inheritable(int(entry), False)
            except OSError:
                continue


def _oom_kills() -> int:
    """How many processes the kernel has killed for memory since boot, in any control group."""
    with open("/proc/vmstat") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)


def _report(status_fd: int, message: dict[str, Any]) -> None:
    try:
        os.write(status_fd, (json.dumps(message) + "\n").encode())
    except BrokenPipeError:
        return


if __name__ == "__main__":
    main(sys.argv[1:])
