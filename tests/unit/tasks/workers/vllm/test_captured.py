"""What caches depend on: every difference that matters is said, and no other."""

from pathlib import Path

import pytest

from tasks.workers.vllm.captures import captured_with, differences, instructions

CPU = {
    "vllm": "0.32.0",
    "torch": "2.13.0+cpu",
    "python": "3.11",
    "machine": "x86_64",
    "libc": "glibc 2.36",
    "instructions": "avx avx2 fma",
}
GPU = {
    **{name: value for name, value in CPU.items() if name != "instructions"},
    "gpu_name": "NVIDIA H200",
    "compute_capability": "9.0",
    "driver": "580.95.05",
    "cuda": "13.0",
}


def test_the_same_host_differs_in_nothing() -> None:
    assert differences(CPU, CPU) == differences(GPU, GPU) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm", "0.26.0"),
        ("torch", "2.11.0"),
        ("python", "3.12"),
        ("gpu_name", "NVIDIA H100 80GB HBM3"),
        ("compute_capability", "10.0"),
        ("driver", "575.57.08"),
        ("cuda", "12.8"),
    ],
)
def test_another_tool_or_gpu_is_named_with_both_values(name: str, value: str) -> None:
    (found,) = differences(GPU, GPU | {name: value})
    assert found == f"{name.replace('_', ' ')}: captured with {GPU[name]}, this host has {value}"


def test_a_host_without_that_gpu_differs_in_all_that_is_its_own() -> None:
    assert len(differences(GPU, CPU)) == 4


def test_a_processor_with_more_instructions_runs_the_code_and_one_with_fewer_does_not() -> None:
    assert differences(CPU, CPU | {"instructions": "avx avx2 avx512f fma"}) == ()
    assert differences(CPU, CPU | {"instructions": "avx fma"}) == ("instructions: this processor lacks avx2",)


@pytest.mark.parametrize(
    ("libc", "valid"),
    [("glibc 2.39", True), ("glibc 2.36", True), ("glibc 2.9", False), ("musl 1.2", False), (" ", False)],
)
def test_code_runs_with_the_c_library_that_it_was_linked_to_or_a_newer_one(libc: str, valid: bool) -> None:
    assert (differences(CPU, CPU | {"libc": libc}) == ()) is valid


def test_only_flags_of_instructions_count(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 hypervisor constant_tsc bmi1 sse4_2\n")
    assert instructions(cpuinfo) == ["avx2", "bmi1", "sse4_2"]
    cpuinfo.write_text("processor: 0\n")
    assert instructions(cpuinfo) == []


def test_this_host_names_its_own_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.workers.vllm.captures._version", lambda *names: "1")
    here = captured_with(on_gpu=False)
    assert here.keys() == CPU.keys()
    assert differences(here, here) == ()
