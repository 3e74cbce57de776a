"""What the driver says of a GPU at a moment, read by a process of its own from a stand-in of its library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.standin.nvml import compile_standin, environment, gpu

from artifacts.hosts import GpuReading, GpusFound, HostFacts, gpus_in_words, suitable_gpus
from artifacts.hosts.engine import HostRequirements

READ = """
import sys
from artifacts.hosts import NvmlReader, probe_gpus
reader = NvmlReader()
found = [reader.read(uuid) for uuid in sys.argv[1:]]
print("[" + ",".join("null" if one is None else one.model_dump_json() for one in found) + "]")
print(probe_gpus().model_dump_json())
"""
TWO = (gpu(index=0), gpu(index=1))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_standin(tmp_path_factory.mktemp("nvml"))


def read(library: Path, *readings: str, driver: str = "580.95.05") -> tuple[list[GpuReading | None], str]:
    """What is read of two GPUs and one that is not there, and what is found by a probe."""
    env = {**os.environ, **environment(library, TWO, driver, *readings)}
    uuids = [*(one.uuid for one in TWO), "GPU-none"]
    done = subprocess.run(
        [sys.executable, "-c", READ, *uuids], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    found, probed = done.stdout.splitlines()
    return [None if one is None else GpuReading.model_validate(one) for one in json.loads(found)], probed


def test_memory_processes_and_lowered_clocks_are_read(library: Path) -> None:
    own = os.getpid()
    (one, other, missing), _ = read(library, f"2048|44|0|{own}:1500,4000000:500", "0|1|0|")
    assert missing is None
    assert one is not None
    assert one.used_bytes == 2 << 30
    assert [(each.pid, each.used_bytes) for each in one.processes] == [
        (own, 1500 << 20),
        (4000000, 500 << 20),
    ]
    assert one.processes[0].name
    assert one.processes[1].name == ""
    assert one.throttled == ("power cap", "temperature, by hardware")
    assert "process 4000000 (program unknown, 0.5 GB)" in one.holders
    assert other == GpuReading(used_bytes=0), "an idle GPU is not throttled"


def test_what_a_driver_does_not_say_is_absent(library: Path) -> None:
    (one, _, _), _ = read(library, "|||")
    assert one is not None
    assert (one.processes, one.throttled) == ((), ())
    assert one.holders == "processes that the driver does not list"


def test_without_a_driver_nothing_is_read(library: Path) -> None:
    assert read(library, driver="broken")[0] == [None, None, None]


def test_gpus_that_are_divided_by_mig_are_named_and_suit_nothing(library: Path) -> None:
    found = GpusFound.model_validate_json(read(library, "0|0|1|", "0|0|0|")[1])
    assert [one.mig for one in found.gpus] == [True, False]
    facts = HostFacts(machine="x86_64", cpu_features=(), gpus=found.gpus, driver="580.95.05")
    assert "divided into MIG slices, which are unsupported: turn MIG off" in gpus_in_words(facts)
    requires = HostRequirements(machine="x86_64", gpu_names=("NVIDIA H200",), compute_capability="9.0")
    assert [one.index for one in suitable_gpus(requires, found.gpus)] == [1]
