"""The GPU rows: figures that must hold among themselves, and between GPUs of one family."""

import pytest

from engine_specs.tables import Target, load_targets

GPU_TARGETS = [t for t in load_targets().values() if t.accelerator == "cuda"]
NAMES = {
    "a100-40gb",
    "a100-80gb",
    "a10",
    "l4",
    "l40s",
    "rtx-4090",
    "rtx-pro-6000",
    "h100-sxm",
    "h100-nvl",
    "h100-pcie",
    "h200",
    "gh200",
    "b200",
    "b300",
    "gb200",
}
SAME_TENSOR_CORES = [("a100-40gb", "a100-80gb"), ("h100-sxm", "h200"), ("h100-sxm", "gh200")]
MORE_MEMORY_AND_BANDWIDTH = [
    ("a100-40gb", "a100-80gb"),
    ("l4", "l40s"),
    ("h100-pcie", "h100-nvl"),
    ("h100-sxm", "h200"),
    ("h200", "b200"),
    ("b200", "b300"),
]


def capability(target: Target) -> tuple[int, int]:
    major, minor = str(target.compute_capability).split(".")
    return int(major), int(minor)


def flops(target: Target) -> dict[str, float]:
    assert target.gpu
    return {row.format: row.dense_flops_per_s for row in target.gpu.throughput}


@pytest.fixture(params=GPU_TARGETS, ids=lambda t: t.name)
def target(request: pytest.FixtureRequest) -> Target:
    row: Target = request.param
    return row


def test_all_gpus_of_the_project_are_there() -> None:
    assert {t.name for t in GPU_TARGETS} == NAMES


def test_every_product_name_belongs_to_one_target() -> None:
    names = [name for t in GPU_TARGETS if t.gpu for name in t.gpu.product_names]
    assert len(names) == len(set(names))
    assert all(name.startswith("NVIDIA ") for name in names)


def test_an_8_bit_float_computes_at_twice_the_rate_of_16_bits(target: Target) -> None:
    rates = flops(target)
    assert rates["fp16"] == rates["bf16"] > rates["tf32"]
    if "fp8" in rates:
        assert rates["fp8"] == pytest.approx(2 * rates["bf16"], rel=0.03)
    if "fp4" in rates:
        assert rates["fp4"] >= 2 * rates["fp8"]


def test_formats_come_with_the_compute_capability(target: Target) -> None:
    formats = set(flops(target))
    assert {"tf32", "fp16", "bf16", "int8"} <= formats
    assert ("fp8" in formats) == (capability(target) >= (8, 9))
    assert ("fp4" in formats) == (capability(target) >= (10, 0))
    assert len(formats) == len(target.gpu.throughput if target.gpu else ())


def test_a_gpu_target_has_a_pool_of_its_own(target: Target) -> None:
    assert target.work_pool == f"enginery-{target.name}"


def test_a_grace_host_is_an_arm_host(target: Target) -> None:
    grace = target.name in {"gh200", "gb200"}
    assert target.machine == ("aarch64" if grace else "x86_64")
    assert target.platform == f"linux-{target.machine}"


def test_figures_have_the_units_they_claim(target: Target) -> None:
    assert 20e9 < (target.memory_bytes or 0) < 300e9
    assert 250e9 < (target.memory_bandwidth_bytes_per_s or 0) <= 8000e9
    assert all(5e13 < rate < 2e16 for rate in flops(target).values())


def test_halved_figures_are_said_to_be_halved() -> None:
    table = load_targets()
    halved = ("l4", "h100-sxm", "h100-nvl", "h100-pcie", "h200", "gh200", "b200", "b300", "gb200")
    assert all("with sparsity only" in table[name].source for name in halved)
    assert all("MiB" in t.source for t in GPU_TARGETS)


@pytest.mark.parametrize(("one", "other"), SAME_TENSOR_CORES)
def test_gpus_with_the_same_tensor_cores_compute_equally_fast(one: str, other: str) -> None:
    assert flops(load_targets()[one]) == flops(load_targets()[other])


@pytest.mark.parametrize(("less", "more"), MORE_MEMORY_AND_BANDWIDTH)
def test_memory_and_bandwidth_are_in_order(less: str, more: str) -> None:
    table = load_targets()
    assert (table[less].memory_bytes or 0) < (table[more].memory_bytes or 0)
    assert (table[less].memory_bandwidth_bytes_per_s or 0) < (table[more].memory_bandwidth_bytes_per_s or 0)
