"""The doctor's judgements, by injected facts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.standin.nvml import gpu

from artifacts.hosts import HostFacts
from engine_specs.tables import load_targets
from flows.doctor import judgements, probes
from flows.doctor.judgements import GIB
from flows.stack.components.schedule import NextRun

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(("free_gib", "outcome"), [(100, "ok"), (5, "warn"), (1, "fail")])
def test_disk(free_gib: int, outcome: str) -> None:
    check = judgements.judge_disk("toolchains", "/somewhere", free_gib * GIB)
    assert check.outcome == outcome
    assert "/somewhere" in check.found
    assert ("ENGINERY_TOOLCHAINS_DIR" in check.remedy) == (outcome != "ok")


@pytest.mark.parametrize(("free_gib", "outcome"), [(16, "ok"), (4, "warn"), (1, "fail")])
def test_memory(free_gib: int, outcome: str) -> None:
    assert judgements.judge_memory(free_gib * GIB).outcome == outcome


@pytest.mark.parametrize(
    ("version", "outcome"), [((3, 11), "ok"), ((3, 13), "ok"), ((3, 10), "fail"), ((3, 14), "fail")]
)
def test_python(version: tuple[int, int], outcome: str) -> None:
    assert judgements.judge_python(version, "python").outcome == outcome


def test_no_compiler_names_the_package() -> None:
    check = judgements.judge_compiler(None, "")
    assert check.outcome == "fail"
    assert check.remedy == "sudo apt-get install -y g++"


def test_a_compiler_that_cannot_link_says_why() -> None:
    check = judgements.judge_compiler("/usr/bin/g++", "cannot find crti.o")
    assert check.outcome == "fail"
    assert "crti.o" in check.found


def test_this_hosts_compiler_works() -> None:
    assert judgements.judge_compiler(*probes.try_compiler()).outcome == "ok"


def test_a_compiler_that_fails_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "g++"
    fake.write_text("#!/bin/sh\necho broken as intended >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probes.try_compiler() == (str(fake), "broken as intended")


def test_an_old_cpu_is_refused_and_a_new_one_named_by_its_targets() -> None:
    targets = load_targets()
    old = HostFacts(machine="x86_64", cpu_features=("sse",))
    new = HostFacts(machine="x86_64", cpu_features=targets["cpu-x86-64-v3"].cpu_features)
    arm = HostFacts(machine="aarch64", cpu_features=new.cpu_features)
    assert judgements.judge_cpu(old, targets.values()).outcome == "fail"
    assert judgements.judge_cpu(arm, targets.values()).outcome == "fail"
    assert "cpu-x86-64-v3" in judgements.judge_cpu(new, targets.values()).found


@pytest.mark.parametrize(("behind", "outcome"), [(timedelta(0), "ok"), (timedelta(days=1), "fail")])
def test_a_clock_that_runs_before_our_own_files_is_wrong(behind: timedelta, outcome: str) -> None:
    assert judgements.judge_clock(NOW - behind, NOW).outcome == outcome


def test_small_and_missing_shared_memory() -> None:
    assert judgements.judge_shared_memory(64 << 20).outcome == "warn"
    assert judgements.judge_shared_memory(None).outcome == "warn"
    assert judgements.judge_shared_memory(1 << 30).outcome == "ok"


def test_a_busy_port_is_no_failure_and_our_own_is_known() -> None:
    assert judgements.judge_port("worker", 4200, free=False, ours=False).outcome == "warn"
    assert judgements.judge_port("worker", 4200, free=False, ours=True).outcome == "ok"


def test_no_gpu_is_said_with_its_reason() -> None:
    facts = HostFacts(machine="x86_64", cpu_features=(), no_gpus="no NVIDIA driver is installed")
    check = judgements.judge_gpus(facts, load_targets().values())
    assert check.outcome == "warn"
    assert check.found == "no GPU: no NVIDIA driver is installed"
    assert "driver" in check.remedy


def test_gpus_are_named_with_their_targets() -> None:
    facts = HostFacts(machine="x86_64", cpu_features=(), gpus=(gpu("NVIDIA H200"),) * 2, driver="580.95.05")
    check = judgements.judge_gpus(facts, load_targets().values())
    assert check.outcome == "ok"
    assert check.found == "2 x NVIDIA H200 (compute capability 9.0), driver 580.95.05: h200"


def test_a_gpu_of_no_target_is_said() -> None:
    old = gpu("Tesla V100-SXM2-16GB", capability="7.0")
    facts = HostFacts(machine="x86_64", cpu_features=(), gpus=(old,), driver="535.183.01")
    check = judgements.judge_gpus(facts, load_targets().values())
    assert check.outcome == "warn"
    assert "Tesla V100-SXM2-16GB" in check.found
    assert "fits none of the targets" in check.found


def test_memory_within_a_control_group_is_what_the_group_allows(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000000 kB\nMemAvailable: 1000 kB\n")
    assert probes.available_memory_bytes(meminfo) == 1000 * 1024


def test_a_schedule_of_which_no_run_is_made_is_reported() -> None:
    silent = judgements.judge_schedule(NextRun(reason="the server has created no run from it"))
    assert silent.outcome == "warn"
    assert "the server has created no run from it" in silent.found
    coming = judgements.judge_schedule(NextRun(time=NOW))
    assert (coming.outcome, coming.remedy) == ("ok", "")
    assert "2026-11-23 12:00 UTC" in coming.found
