"""How much of the processors others used between two readings, and who. Pure.

Foreign load is what made the cores busy, less what the families of some processes computed: the servers that
are measured, and the client that asks them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tasks.hosts.cpu_readings import CpuReading, ProcessTime

# Others that use less of a core are not named.
NAMED_FROM_CORES = 0.02
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class ForeignLoad:
    """What others used of the processors.

    Attributes:
        cores: cores that this process may use.
        share: share of the cores that others kept busy, 0 to 1.
        steal: share of the cores' time that the hypervisor gave to other machines, 0 to 1.
        busiest: the processes of others that used most, as text; empty if none stands out.
    """

    cores: float
    share: float
    steal: float
    busiest: tuple[str, ...]


def foreign_load(
    before: CpuReading, after: CpuReading, roots: Collection[int], others: Collection[int] = ()
) -> ForeignLoad | None:
    """Return what others used between two readings; None if no time passed by the kernel's count.

    Args:
        before: the first reading.
        after: the second reading.
        roots: processes that are ours, with all of their descendants.
        others: descendants of them that count as others all the same, with all of theirs.
    """
    elapsed_s, span_s = after.elapsed_s - before.elapsed_s, after.at_s - before.at_s
    if elapsed_s <= 0 or span_s <= 0:
        return None
    families = [
        families_in(one, roots) - families_in(one, others) for one in (before.processes, after.processes)
    ]
    ours_s = family_time_s(before.processes, after.processes, families[0], families[1])
    foreign_s = max(0.0, after.busy_s - before.busy_s - ours_s)
    return ForeignLoad(
        cores=after.cores,
        share=min(1.0, foreign_s / (span_s * after.cores)),
        steal=max(0.0, (after.steal_s - before.steal_s) / elapsed_s),
        busiest=_busiest(before, after, families[1]),
    )


def families_in(processes: Mapping[int, ProcessTime], roots: Collection[int]) -> set[int]:
    """Return these processes, as far as they run, and all of their descendants."""
    children: dict[int, list[int]] = {}
    for pid, one in processes.items():
        children.setdefault(one.parent, []).append(pid)
    found, waiting = set[int](), [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def family_time_s(
    before: Mapping[int, ProcessTime],
    after: Mapping[int, ProcessTime],
    family_before: Collection[int],
    family_after: Collection[int],
) -> float:
    """Return the core seconds that a family computed between two readings.

    A member that has ended since is counted by its parent, with all that it computed before the first reading
    as well; that part is taken off again.
    """
    running_s = reaped_s = 0.0
    for pid in family_after:
        earlier = before.get(pid)
        running_s += after[pid].own_s - (earlier.own_s if earlier else 0.0)
        reaped_s += after[pid].reaped_s - (earlier.reaped_s if earlier else 0.0)
    ended = (before[pid] for pid in family_before if pid not in after)
    return running_s + max(0.0, reaped_s - sum(one.own_s + one.reaped_s for one in ended))


def _busiest(before: CpuReading, after: CpuReading, ours: Collection[int]) -> tuple[str, ...]:
    span_s = after.at_s - before.at_s
    used = {
        pid: (one.own_s - (before.processes[pid].own_s if pid in before.processes else 0.0)) / span_s
        for pid, one in after.processes.items()
        if pid not in ours
    }
    named = sorted((pid for pid, cores in used.items() if cores >= NAMED_FROM_CORES), key=lambda p: -used[p])
    return tuple(
        f"process {pid} ({after.processes[pid].name}, {used[pid]:.2f} cores)" for pid in named[:MOST_NAMED]
    )
