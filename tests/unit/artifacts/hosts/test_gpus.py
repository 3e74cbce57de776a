"""What the driver's library says of the GPUs, and what is said where there is none."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.standin.nvml import compile_standin, environment, gpu

from artifacts.hosts import Gpu, GpusFound, NoGpus, probe_gpus

PROGRAM = "from artifacts.hosts.gpus import probe_gpus; found = probe_gpus(); print(found.model_dump_json())"
TWO = (gpu("NVIDIA H200", 0), gpu("NVIDIA L40S", 1, "8.9", 46068))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_standin(tmp_path_factory.mktemp("nvml"))


def probed(library: Path, gpus: Sequence[Gpu], driver: str) -> dict[str, object]:
    """What a process of its own finds, for a library is loaded once."""
    env = {**os.environ, **environment(library, gpus, driver)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_gpus_come_as_the_driver_reports_them(library: Path) -> None:
    found = GpusFound.model_validate(probed(library, TWO, "580.95.05"))
    assert found == GpusFound(driver="580.95.05", cuda="13.0", gpus=TWO)


def test_a_gpu_that_shares_the_hosts_memory_has_all_of_it(library: Path) -> None:
    shared = gpu("NVIDIA GB10", 0, "12.1").model_copy(
        update={"memory_bytes": 1}
    )  # less than a MiB: not supported
    found = GpusFound.model_validate(probed(library, (shared,), "580.95.05"))
    (total_kib,) = (
        int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    assert found.gpus == (shared.model_copy(update={"memory_bytes": total_kib << 10}),)


def test_a_driver_may_know_no_gpu(library: Path) -> None:
    assert GpusFound.model_validate(probed(library, (), "580.95.05")).gpus == ()


def test_a_driver_that_does_not_start_is_distinguished_from_none(library: Path) -> None:
    answer = NoGpus.model_validate(probed(library, TWO, "broken"))
    assert answer.reason == "the NVIDIA driver does not start: Driver Not Loaded"


def test_a_gpu_that_stops_answering_is_reported(library: Path) -> None:
    lost = gpu().model_copy(update={"name": "NVIDIA H200;"})  # a row without its other fields
    answer = NoGpus.model_validate(probed(library, (lost,), "580.95.05"))
    assert answer.reason == "the NVIDIA driver does not answer: Not Found"


def test_this_host_answers_one_way_or_the_other() -> None:
    answer = probe_gpus()
    if Path("/proc/driver/nvidia/version").exists():
        assert isinstance(answer, GpusFound)
    else:
        assert isinstance(answer, NoGpus)
        assert "libnvidia-ml.so.1" in answer.reason
