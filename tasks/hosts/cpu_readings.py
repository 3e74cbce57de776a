"""What the kernel says of the processors at this moment: time that they were busy, and whose time it was.

Invariants:
- Only the cores that this process may use count. Within a cgroup whose CPU limit is lower than their number,
  the limit is the number of cores, and only the cgroup's members make them busy. Otherwise whoever runs on
  these cores does, since it is the cores that are short.
- What cannot be read (a process that has just ended, or that this user may not see) is left out.
- A reading is one pass over /proc: 2 ms with 80 processes.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
US_PER_S = 1e6
NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class ProcessTime:
    """The CPU time of one process.

    Attributes:
        parent: process id of its parent.
        name: its program.
        own_s: seconds that it computed.
        reaped_s: seconds that its children computed which have ended and were waited for.
    """

    parent: int
    name: str
    own_s: float
    reaped_s: float


@dataclass(frozen=True, slots=True)
class CpuReading:
    """One look at the processors; times count from some moment in the past.

    Attributes:
        at_s: when, by `perf_counter`.
        cores: cores that this process may use; a limit need not be a whole number.
        elapsed_s: core seconds that have passed, by the kernel's own count.
        busy_s: core seconds in which something computed.
        steal_s: core seconds that the hypervisor gave to others.
        processes: every process that is visible from here, by its id.
    """

    at_s: float
    cores: float
    elapsed_s: float
    busy_s: float
    steal_s: float
    processes: Mapping[int, ProcessTime]


class CpuReader(Protocol):
    """Reads the processors."""

    def read(self) -> CpuReading | None:
        """Return what the kernel says now; None if it does not say."""


class ProcReader:
    """Reads /proc and, if this process has a CPU limit of its own, its cgroup."""

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._proc = proc
        self._cgroup = limited_cgroup(proc, cgroups)

    def read(self) -> CpuReading | None:
        """Return what the kernel says now; None if it does not count the time of processors."""
        try:
            lines = (self._proc / "stat").read_text()
        except OSError:
            return None
        elapsed_s, busy_s, steal_s, cores = core_times(lines, os.sched_getaffinity(0))
        at_s = perf_counter()
        if not elapsed_s:
            return None
        limit: float = cores
        if self._cgroup is not None and self._cgroup.cores < cores:
            limit, busy_s = self._cgroup.cores, self._cgroup.used_s()
        return CpuReading(at_s, limit, elapsed_s, busy_s, steal_s, dict(_processes(self._proc)))


def core_times(stat: str, allowed: set[int]) -> tuple[float, float, float, int]:
    """Return elapsed, busy and stolen seconds of the allowed cores, and their number, by /proc/stat. Pure."""
    elapsed = busy = steal = count = 0
    for line in stat.splitlines():
        name, *numbers = line.split()
        if not name.startswith("cpu") or name == "cpu" or int(name[3:]) not in allowed:
            continue
        # Guests' time, which follows, is part of the user's.
        user, nice, system, idle, iowait, irq, softirq, stolen = (int(one) for one in numbers[:8])
        used = user + nice + system + irq + softirq
        busy, steal, elapsed = busy + used, steal + stolen, elapsed + used + idle + iowait + stolen
        count += 1
    return elapsed / TICKS_PER_S, busy / TICKS_PER_S, steal / TICKS_PER_S, count


def process_time(stat: str) -> ProcessTime:
    """Return the CPU time of a process by its /proc/PID/stat. Pure."""
    head, _, tail = stat.rpartition(")")  # a name may hold blanks and brackets
    fields = tail.split()
    user, system, reaped_user, reaped_system = (int(one) for one in fields[11:15])
    return ProcessTime(
        parent=int(fields[1]),
        name=head.partition("(")[2],
        own_s=(user + system) / TICKS_PER_S,
        reaped_s=(reaped_user + reaped_system) / TICKS_PER_S,
    )


def _processes(proc: Path) -> Iterator[tuple[int, ProcessTime]]:
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), process_time((entry / "stat").read_text(errors="replace"))
            except OSError:  # it has just ended, or is hidden from this user
                continue


@dataclass(frozen=True, slots=True)
class LimitedCgroup:
    """A cgroup with a CPU limit.

    Attributes:
        cores: the limit.
        usage: the file that holds the time its members have used.
    """

    cores: float
    usage: Path

    def used_s(self) -> float:
        """Return the core seconds that its members have used so far."""
        text = self.usage.read_text()
        if self.usage.name == "cpu.stat":
            return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / US_PER_S
        return int(text) / NS_PER_S


def limited_cgroup(proc: Path, cgroups: Path) -> LimitedCgroup | None:
    """Return the nearest cgroup around this process that has a CPU limit, of version 2 or 1; None if none."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        limit_of = _limit_v1 if controllers else _limit_v2
        for place in (Path(path), *Path(path).parents):
            if found := limit_of(cgroups, place.relative_to("/")):
                return found
    return None


def _limit_v2(cgroups: Path, inside: Path) -> LimitedCgroup | None:
    directory = cgroups / inside
    try:
        quota, period = (directory / "cpu.max").read_text().split()
    except OSError:  # the root, or version 1
        return None
    return None if quota == "max" else LimitedCgroup(int(quota) / int(period), directory / "cpu.stat")


def _limit_v1(cgroups: Path, inside: Path) -> LimitedCgroup | None:
    limits, usage = cgroups / "cpu" / inside, cgroups / "cpuacct" / inside / "cpuacct.usage"
    try:
        quota = int((limits / "cpu.cfs_quota_us").read_text())
        period = int((limits / "cpu.cfs_period_us").read_text())
    except OSError:
        return None
    return LimitedCgroup(quota / period, usage) if quota > 0 and usage.exists() else None
