"""What a worker learns of its host's GPUs, with an `nvidia-smi` of the test's own on PATH."""

from pathlib import Path

import pytest

from tasks.workers.common.gpu_host import GpuFacts, gpu_facts, refuse_unless
from tasks.workers.common.io import Refusal

H100 = "NVIDIA H100 80GB HBM3, 9.0, 580.95.05"
L4 = "NVIDIA L4, 8.9, 580.95.05"


def host(directory: Path, *lines: str, code: int = 0, **variables: str) -> dict[str, str]:
    """The environment of a host whose nvidia-smi prints these lines and notes its arguments."""
    program = directory / "nvidia-smi"
    answer = "\n".join(lines)
    script = f"#!/bin/sh\necho \"$@\" > {directory}/asked\ncat <<'EOT'\n{answer}\nEOT\nexit {code}\n"
    program.write_text(script)
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin", **variables}


def test_equal_gpus_are_counted(tmp_path: Path) -> None:
    facts = gpu_facts(host(tmp_path, H100, H100))
    assert facts == GpuFacts("NVIDIA H100 80GB HBM3", "9.0", "580.95.05", 2)
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]


def test_only_the_visible_gpus_are_asked_for(tmp_path: Path) -> None:
    gpu_facts(host(tmp_path, H100, CUDA_VISIBLE_DEVICES="GPU-1,GPU-2"))
    assert "--id=GPU-1,GPU-2" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("lines", "code", "variables", "said"),
    [
        ([H100, L4], 0, {}, "differ: NVIDIA H100 80GB HBM3 (9.0), NVIDIA L4 (8.9)"),
        ([], 0, {}, "reports no GPU"),
        ([H100], 0, {"CUDA_VISIBLE_DEVICES": ""}, "reports no GPU"),
        (["NVIDIA-SMI has failed: cannot talk to the driver"], 9, {}, "exit code 9: NVIDIA-SMI has failed"),
        (["NVIDIA L4"], 0, {}, "answered 'NVIDIA L4'"),
    ],
)
def test_a_host_without_usable_gpus_says_so(
    tmp_path: Path, lines: list[str], code: int, variables: dict[str, str], said: str
) -> None:
    with pytest.raises(Refusal) as caught:
        gpu_facts(host(tmp_path, *lines, code=code, **variables))
    assert said in caught.value.what
    assert caught.value.failure == "unsupported"


def test_a_host_without_a_driver_says_so(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no nvidia-smi") as caught:
        gpu_facts({"PATH": str(tmp_path)})
    assert "--gpus all" in caught.value.fix


def test_another_gpu_than_the_targets_is_refused() -> None:
    facts = GpuFacts("NVIDIA H200", "9.0", "580.95.05", 8)
    refuse_unless(facts, ["NVIDIA H200"], "9.0", 8)
    with pytest.raises(Refusal, match="this host has NVIDIA H200"):
        refuse_unless(facts, ["NVIDIA H100 PCIe"], "9.0", 1)
    with pytest.raises(Refusal, match=r"built for NVIDIA H200 \(10.0\)"):
        refuse_unless(facts, ["NVIDIA H200"], "10.0", 1)


def test_too_few_gpus_are_refused() -> None:
    with pytest.raises(Refusal, match="may use 1 of NVIDIA L4; the engine occupies 2"):
        refuse_unless(GpuFacts("NVIDIA L4", "8.9", "580.95.05", 1), ["NVIDIA L4"], "8.9", 2)
