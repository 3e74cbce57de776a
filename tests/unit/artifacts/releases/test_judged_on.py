"""Whether a host has the processor and the GPUs that a variant was judged on."""

import pytest
from support.standin.nvml import gpu

from artifacts.hosts import HostFacts, HostRequirements
from artifacts.releases import JudgedOn, judged_elsewhere, judged_here

CPU = HostRequirements(machine="x86_64")
GPU = HostRequirements(machine="x86_64", gpu_count=2)
INTEL, AMD = "Intel Xeon 8488C", "AMD EPYC 9D25"


def host(cpu: str, *gpus: str) -> HostFacts:
    found = tuple(gpu(name, index) for index, name in enumerate(gpus))
    return HostFacts(machine="x86_64", cpu_features=(), cpu_model=cpu, gpus=found)


@pytest.mark.parametrize(
    ("requires", "there", "here", "said"),
    [
        (CPU, host(INTEL), host(INTEL), ""),
        (CPU, host(INTEL), host(AMD), f"judged on {INTEL}, this host has {AMD}"),
        (CPU, host(INTEL, "NVIDIA H200"), host(INTEL, "NVIDIA L40S"), ""),
        (GPU, host(INTEL, "NVIDIA H200", "NVIDIA H200"), host(INTEL, "NVIDIA H200"), ""),
        (GPU, host(INTEL, "H100"), host(INTEL, "H200"), "judged on H100, this host has H200"),
        (GPU, host(INTEL, "H100"), host(AMD, "H200"), f"{INTEL} and H100, this host has {AMD} and H200"),
        (CPU, host(""), host(AMD), ""),
        (CPU, host(INTEL), host(""), ""),
    ],
)
def test_what_differs_of_the_hardware_is_said_in_a_line(
    requires: HostRequirements, there: HostFacts, here: HostFacts, said: str
) -> None:
    found = judged_elsewhere(judged_here(requires, there), requires, here)
    assert said in found
    assert bool(found) == bool(said)


def test_it_is_written_with_what_is_known() -> None:
    assert JudgedOn(cpu_model="", gpus=("NVIDIA H200",)).text() == "an unknown processor, NVIDIA H200"
