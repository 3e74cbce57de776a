"""The GPU rows: figures that must hold among themselves, and between GPUs of one family.

No test lists the rows: whoever adds a target adds its row, and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.specs.gpu import CONFIG, FILES, gpu_variant, preflight
from support.specs.text import edited

from engine_specs.reading import TARGETS_FILE
from engine_specs.spec import Spec, read_spec, resolve_variants
from engine_specs.tables import Target, load_targets, targets

GPU_TARGETS = [t for t in load_targets().values() if t.accelerator == "cuda"]
# Generations whose tensor cores are known to keep to the laws below; of others only order is asked.
KNOWN_CAPABILITIES = {(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)}
MIB = 1 << 20
SAME_TENSOR_CORES = [
    ("a100-40gb", "a100-80gb"),
    ("a100-80gb", "a100-80gb-pcie"),
    ("h100-sxm", "h200"),
    ("h100-sxm", "gh200"),
    ("h100-nvl", "h200-nvl"),
    ("gh200", "gh200-144gb"),
]
# Some have more memory of the same speed.
MORE_MEMORY_AND_BANDWIDTH = [
    ("a100-40gb", "a100-80gb"),
    ("l4", "l40s"),
    ("rtx-4090", "rtx-5090"),
    ("l40", "rtx-6000-ada"),
    ("h100-pcie", "h100-nvl"),
    ("h100-nvl", "h200-nvl"),
    ("h100-sxm", "h200"),
    ("gh200", "gh200-144gb"),
    ("h200", "b200"),
    ("b200", "b300"),
    ("gb200", "gb300"),
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


def test_every_product_name_belongs_to_one_target() -> None:
    names = [name for t in GPU_TARGETS if t.gpu for name in t.gpu.product_names]
    assert len(names) == len(set(names))


def test_fewer_bits_are_never_slower(target: Target) -> None:
    rates = flops(target)
    floats = [rates[name] for name in ("tf32", "fp16", "fp8", "fp4") if name in rates]
    assert floats == sorted(floats)
    assert rates.get("bf16", rates["fp16"]) == rates["fp16"]


def test_an_8_bit_float_computes_at_twice_the_rate_of_16_bits(target: Target) -> None:
    rates, known = flops(target), capability(target) in KNOWN_CAPABILITIES
    if known and "fp8" in rates:
        assert rates["fp8"] == pytest.approx(2 * rates["bf16"], rel=0.03)
    if known and "fp4" in rates:
        assert rates["fp4"] >= 2 * rates["fp8"]


def test_formats_come_with_the_compute_capability(target: Target) -> None:
    formats = set(flops(target))
    assert {"fp16", "int8"} <= formats
    assert ({"tf32", "bf16"} <= formats) == (capability(target) >= (8, 0))
    assert ("fp8" in formats) == (capability(target) >= (8, 9))
    assert ("fp4" in formats) == (capability(target) >= (10, 0))
    assert len(formats) == len(target.gpu.throughput if target.gpu else ())


def test_a_gpu_target_has_a_pool_of_its_own(target: Target) -> None:
    assert target.work_pool == f"enginery-{target.name}"


def test_a_grace_host_is_an_arm_host(target: Target) -> None:
    assert target.machine == "aarch64" or "Grace" not in target.description
    assert target.platform == f"linux-{target.machine}"


def test_figures_have_the_units_they_claim(target: Target) -> None:
    assert 4e9 < (target.memory_bytes or 0) < 4e12
    assert 1e11 < (target.memory_bandwidth_bytes_per_s or 0) < 1e14
    assert all(1e13 < rate < 1e18 for rate in flops(target).values())


def test_memory_is_the_total_that_the_driver_reports(target: Target) -> None:
    assert (target.memory_bytes or 0) % MIB == 0, "the driver reports whole MiB, not the product's size"


def test_halved_figures_are_said_to_be_halved() -> None:
    table = load_targets()
    hopper = ("h100-sxm", "h100-nvl", "h100-pcie", "h200", "h200-nvl", "gh200", "gh200-144gb")
    halved = ("l4", "rtx-6000-ada", *hopper, "b200", "b300", "gb200", "gb300", "gb10")
    assert all("with sparsity only" in table[name].source for name in halved)


@pytest.mark.parametrize(("one", "other"), SAME_TENSOR_CORES)
def test_gpus_with_the_same_tensor_cores_compute_equally_fast(one: str, other: str) -> None:
    assert flops(load_targets()[one]) == flops(load_targets()[other])


@pytest.mark.parametrize(("less", "more"), MORE_MEMORY_AND_BANDWIDTH)
def test_memory_and_bandwidth_are_in_order(less: str, more: str) -> None:
    table = load_targets()
    assert (table[less].memory_bytes or 0) < (table[more].memory_bytes or 0)
    assert (table[less].memory_bandwidth_bytes_per_s or 0) <= (table[more].memory_bandwidth_bytes_per_s or 0)


def test_editions_that_differ_are_targets_of_their_own() -> None:
    table = load_targets()
    for slower, faster in (
        ("rtx-pro-6000-server", "rtx-pro-6000-workstation"),
        ("a100-80gb-pcie", "a100-80gb"),
    ):
        one, other = table[slower], table[faster]
        assert one.memory_bytes == other.memory_bytes
        assert (one.memory_bandwidth_bytes_per_s or 0) < (other.memory_bandwidth_bytes_per_s or 0)


def test_a_link_is_as_fast_as_its_name_says(target: Target) -> None:
    per_generation = {
        "NVLink 3": 600,
        "NVLink 4": 900,
        "NVLink 5": 1800,
        "PCIe 4.0 x16": 64,
        "PCIe 5.0 x16": 128,
    }
    assert target.gpu is not None
    link = target.gpu.link
    if link is None:
        assert target.machine == "aarch64", "a host has one if it is built together with an Arm processor"
        return
    name, rate = link.name.removesuffix(" bridge"), link.bytes_per_s / 10**9
    if name not in per_generation:
        assert rate > per_generation["PCIe 5.0 x16"], "a link that is not known here is of a later generation"
    elif link.name.endswith("bridge"):
        assert rate <= per_generation[name]
    else:
        assert rate == per_generation[name]


@pytest.fixture
def new_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A GPU that the table gets one row for, at its end."""
    table = yaml.load(TARGETS_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    row = next(row for row in table["targets"] if row["name"] == "h200") | {
        "name": "made-up",
        "work_pool": "enginery-made-up",
        "source": "made up for a test",
    }
    row["gpu"] = row["gpu"] | {"product_names": ["NVIDIA made up"]}
    path = tmp_path / TARGETS_FILE.name
    path.write_text(f"{TARGETS_FILE.read_text(encoding='utf-8')}\n{_as_item(row)}", encoding="utf-8")
    monkeypatch.setattr(targets, "TARGETS_FILE", path)
    load_targets.cache_clear()
    yield "made-up"
    load_targets.cache_clear()


def _as_item(row: dict[str, object]) -> str:
    return "".join(f"  {line}\n" for line in yaml.safe_dump([row], sort_keys=False).splitlines())


def test_a_row_is_all_that_a_target_needs(spec: Spec, new_target: str) -> None:
    text = edited(("target: cpu-x86-64-v3", f"target: {new_target}"), ("aot-inductor", "trt-plan"))
    (first, _) = resolve_variants(read_spec(text.replace("cpu-x86-64-v4", new_target), Path("tiny.yaml")))
    assert first.target == load_targets()[new_target]
    assert preflight(spec, gpu_variant(spec, "trt-plan", new_target), CONFIG, FILES) == ()
    assert preflight(spec, gpu_variant(spec, "trt-plan", new_target, "nvfp4"), CONFIG, FILES)
