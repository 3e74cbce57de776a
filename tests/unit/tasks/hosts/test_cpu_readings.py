"""What the kernel's files say of the processors: cores, processes, and limits of cgroups."""

import os
import time
from pathlib import Path

import pytest

from tasks.hosts.cpu_readings import (
    TICKS_PER_S,
    LimitedCgroup,
    ProcReader,
    core_times,
    limited_cgroup,
    process_time,
)

STAT = """cpu  600 0 300 4000 100 0 0 200 50 0
cpu0 100 20 30 700 50 4 6 90 10 0
cpu1 500 0 200 200 0 0 0 100 40 0
cpu2 900 0 0 0 0 0 0 0 0 0
intr 71834558 0 0
"""
TICK = 1 / TICKS_PER_S


def test_only_allowed_cores_count_and_waiting_for_a_disk_is_not_busy() -> None:
    elapsed_s, busy_s, steal_s, cores = core_times(STAT, {0, 1})
    assert (elapsed_s, busy_s, steal_s) == pytest.approx((2000 * TICK, 860 * TICK, 190 * TICK))
    assert cores == 2


def test_a_process_is_read_whatever_its_name_is() -> None:
    line = "41 (a) b (c) R 7 41 41 0 -1 4194304 100 0 0 0 120 30 400 50 20 0 1 0 3801302"
    found = process_time(line)
    assert (found.parent, found.name) == (7, "a) b (c")
    assert (found.own_s, found.reaped_s) == pytest.approx((150 * TICK, 450 * TICK))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_nearest_limit_of_a_cgroup_counts(tmp_path: Path) -> None:
    write(tmp_path / "self" / "cgroup", "0::/pod/container\n")
    write(tmp_path / "fs" / "pod" / "container" / "cpu.max", "max 100000\n")
    write(tmp_path / "fs" / "pod" / "cpu.max", "250000 100000\n")
    write(tmp_path / "fs" / "pod" / "cpu.stat", "usage_usec 1500000\nuser_usec 1\n")
    found = limited_cgroup(tmp_path, tmp_path / "fs")
    assert found == LimitedCgroup(2.5, tmp_path / "fs" / "pod" / "cpu.stat")
    assert found.used_s() == 1.5


def test_a_limit_of_the_first_version_of_cgroups_counts(tmp_path: Path) -> None:
    write(tmp_path / "self" / "cgroup", "4:memory:/job\n2:cpuacct,cpu:/job\n0::/\n")
    write(tmp_path / "fs" / "cpu" / "job" / "cpu.cfs_quota_us", "50000\n")
    write(tmp_path / "fs" / "cpu" / "job" / "cpu.cfs_period_us", "100000\n")
    write(tmp_path / "fs" / "cpuacct" / "job" / "cpuacct.usage", "2500000000\n")
    found = limited_cgroup(tmp_path, tmp_path / "fs")
    assert found is not None
    assert (found.cores, found.used_s()) == (0.5, 2.5)
    write(tmp_path / "fs" / "cpu" / "job" / "cpu.cfs_quota_us", "-1\n")
    assert limited_cgroup(tmp_path, tmp_path / "fs") is None


@pytest.mark.parametrize(("quota", "cores", "busy_s"), [(50_000, 0.5, 1.5), (4_000_000, 1, 520 * TICK)])
def test_a_limit_counts_only_if_it_is_lower_than_the_number_of_allowed_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: int, cores: float, busy_s: float
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 7})
    write(tmp_path / "stat", STAT.replace("cpu0 100 20 30", "cpu0 300 120 90"))
    write(tmp_path / "self" / "cgroup", "0::/pod\n")
    write(tmp_path / "fs" / "pod" / "cpu.max", f"{quota} 100000\n")
    write(tmp_path / "fs" / "pod" / "cpu.stat", "usage_usec 1500000\n")
    found = ProcReader(tmp_path, tmp_path / "fs").read()
    assert found is not None
    assert (found.cores, found.busy_s) == pytest.approx((cores, busy_s))


def test_a_kernel_that_counts_nothing_says_nothing(tmp_path: Path) -> None:
    assert ProcReader(tmp_path, tmp_path).read() is None
    write(tmp_path / "stat", "cpu 0 0 0 0 0 0 0 0 0 0\n")
    assert ProcReader(tmp_path, tmp_path).read() is None


def test_this_host_is_read_with_this_process_in_it() -> None:
    reader = ProcReader()
    before = reader.read()
    assert before is not None
    own = before.processes[os.getpid()]
    assert own.parent == os.getppid()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    after = reader.read()
    assert after is not None
    assert after.processes[os.getpid()].own_s > own.own_s
    assert 0 < after.busy_s - before.busy_s <= (after.at_s - before.at_s + 0.1) * after.cores
