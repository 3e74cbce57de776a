"""Which variant runs where."""

import platform
from pathlib import Path

import pytest
from support.standin.nvml import gpu
from support.stores.releases import NOTHING, release, variant

from artifacts.errors import NotFound, NothingFits
from artifacts.hosts import Fits, HostFacts, HostRequirements, Refused, fits, probe_host
from artifacts.releases.selection import choose_variant

OLD = HostFacts(machine="x86_64", cpu_features=("sse4_2", "ssse3"))
NEW = HostFacts(machine="x86_64", cpu_features=("avx2", "avx512f", "fma", "sse4_2", "ssse3"))
H200 = HostFacts(
    machine="x86_64", cpu_features=("avx2",), gpus=(gpu(index=0), gpu(index=1)), driver="580.95.05"
)
NO_DRIVER = HostFacts(machine="x86_64", cpu_features=(), no_gpus="no NVIDIA driver is installed")
V2 = variant("v2", NOTHING, "sse4_2")
V3 = variant("v3", NOTHING, "sse4_2", "avx2", "fma")


def test_this_host_has_a_machine_and_cpu_features() -> None:
    facts = probe_host()
    assert facts.machine == platform.machine()
    assert list(facts.cpu_features) == sorted(set(facts.cpu_features))
    assert {"sse2", "fp", "asimd"} & set(facts.cpu_features)


@pytest.mark.parametrize("label", ["flags\t\t", "Features\t"])
def test_the_features_of_both_kinds_of_kernel_are_read(tmp_path: Path, label: str) -> None:
    (tmp_path / "cpuinfo").write_text(
        f"processor\t: 0\n{label}: b a\nbugs\t: x\n\nprocessor\t: 1\n{label}: c\n"
    )
    assert probe_host(tmp_path / "cpuinfo").cpu_features == ("a", "b")


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        (HostRequirements(machine="aarch64"), "needs aarch64, this host is x86_64"),
        (
            HostRequirements(machine="x86_64", cpu_features=("amx_tile", "avx2", "ssse3")),
            "lacks: amx_tile, avx2",
        ),
        (HostRequirements(machine="x86_64", gpu_count=2, gpu_names=("H100",)), "needs 2 x H100"),
    ],
)
def test_a_refusal_names_what_is_missing(requires: HostRequirements, said: str) -> None:
    answer = fits(requires, OLD)
    assert isinstance(answer, Refused)
    assert said in answer.reason


def test_what_is_there_fits() -> None:
    assert isinstance(fits(V3.requires, NEW), Fits)
    assert isinstance(fits(HostRequirements(machine="x86_64"), OLD), Fits)


def on_gpus(count: int = 1, *names: str, **needs: str) -> HostRequirements:
    return HostRequirements(machine="x86_64", gpu_count=count, gpu_names=names, **needs)


@pytest.mark.parametrize(
    ("requires", "facts", "said"),
    [
        (
            on_gpus(1, "NVIDIA L40S"),
            H200,
            "needs 1 x NVIDIA L40S; this host has 2 x NVIDIA H200 (compute capability 9.0)",
        ),
        (on_gpus(4, "NVIDIA H200"), H200, "needs 4 x NVIDIA H200; this host has 2 x NVIDIA H200"),
        (
            on_gpus(1, compute_capability="8.9"),
            H200,
            "needs 1 x NVIDIA GPU of compute capability 8.9; this host has 2 x NVIDIA H200",
        ),
        (
            on_gpus(1, "NVIDIA H200", driver_floor="590.44"),
            H200,
            "needs NVIDIA driver 590.44 or newer, this host has 580.95.05",
        ),
        (
            on_gpus(1, "NVIDIA A10", "NVIDIA L4"),
            NO_DRIVER,
            "needs 1 x NVIDIA A10 or NVIDIA L4; this host has no GPU: no NVIDIA driver is installed",
        ),
    ],
)
def test_a_gpu_refusal_names_what_the_host_has(
    requires: HostRequirements, facts: HostFacts, said: str
) -> None:
    answer = fits(requires, facts)
    assert isinstance(answer, Refused)
    assert answer.reason.startswith(said)


def test_what_the_gpus_of_a_host_fit_is_said_with_them() -> None:
    asked = on_gpus(2, "NVIDIA H200", compute_capability="9.0", driver_floor="580.65.06")
    answer = fits(asked, H200)
    assert isinstance(answer, Fits)
    assert answer.reason == "any x86_64, 2 x NVIDIA H200, driver 580.95.05"


def test_gpus_of_other_products_do_not_count() -> None:
    mixed = H200.model_copy(update={"gpus": (gpu(index=0), gpu("NVIDIA L40S", 1, "8.9"))})
    assert isinstance(fits(on_gpus(1, "NVIDIA L40S"), mixed), Fits)
    assert isinstance(fits(on_gpus(2, "NVIDIA L40S"), mixed), Refused)
    assert isinstance(fits(on_gpus(2), mixed), Fits)


def test_a_cpu_engine_runs_beside_gpus() -> None:
    assert isinstance(fits(HostRequirements(machine="x86_64", cpu_features=("avx2",)), H200), Fits)


def test_an_engine_for_the_hosts_gpus_is_preferred_to_others_that_fit() -> None:
    cpu = variant("cpu", NOTHING, "avx2")
    any_gpu = variant("any", requires=on_gpus(1))
    h200 = variant("h200", requires=on_gpus(1, "NVIDIA H200", compute_capability="9.0"))
    pair = variant("pair", requires=on_gpus(2, "NVIDIA H200", compute_capability="9.0"))
    four = variant("four", requires=on_gpus(4, "NVIDIA H200", compute_capability="9.0"))
    assert choose_variant(release(cpu, any_gpu, h200), H200).variant == h200
    assert choose_variant(release(cpu, any_gpu, h200, pair, four), H200).variant == pair
    one = H200.model_copy(update={"gpus": H200.gpus[:1]})
    assert choose_variant(release(pair, cpu, h200), one).variant == h200
    assert choose_variant(release(pair, cpu, h200), NEW).variant == cpu


def test_the_most_demanding_variant_that_fits_is_chosen() -> None:
    choice = choose_variant(release(V2, V3), NEW)
    assert choice.variant == V3
    assert "most demanding of 2" in choice.reason
    assert choose_variant(release(V2, V3), OLD).variant == V2


def test_the_first_of_equals_is_chosen() -> None:
    assert choose_variant(release(V2, variant("also", NOTHING, "ssse3")), NEW).variant == V2


def test_a_variant_asked_for_by_name_is_chosen_only_where_it_fits() -> None:
    choice = choose_variant(release(V2, V3), NEW, "v2")
    assert choice.variant == V2
    assert "asked for by name" in choice.reason
    with pytest.raises(NothingFits, match="avx2"):
        choose_variant(release(V2, V3), OLD, "v3")
    with pytest.raises(NotFound, match="no variant 'v9'"):
        choose_variant(release(V2, V3), NEW, "v9")


def test_a_variant_to_stay_on_vllm_with_is_chosen_like_any_other() -> None:
    stay = variant("v3", NOTHING, "avx2", verdict="stay-on-vllm")
    choice = choose_variant(release(variant("v2"), stay), NEW)
    assert choice.variant == stay
    assert choice.reason.startswith("stay-on-vllm")


@pytest.mark.parametrize("verdict", ["compile", "stay-on-vllm"])
def test_a_host_with_an_older_driver_pulls_what_needs_none_and_nothing_else(verdict: str) -> None:
    requires = on_gpus(1, "NVIDIA H200", compute_capability="9.0", driver_floor="580")
    h200 = variant("h200", requires=requires, verdict=verdict)
    old = H200.model_copy(update={"driver": "575.57.08"})
    with pytest.raises(
        NothingFits, match=r"h200: needs NVIDIA driver 580 or newer, this host has 575\.57\.08"
    ):
        choose_variant(release(h200), old)
    assert choose_variant(release(h200, variant("cpu", NOTHING, "avx2")), old).variant.name == "cpu"
    assert choose_variant(release(h200), H200).variant == h200


def test_where_nothing_fits_every_candidate_is_named_with_its_reason() -> None:
    rejected = variant("bad", verdict="rejected")
    with pytest.raises(NothingFits) as caught:
        choose_variant(release(V3, rejected), OLD)
    said = str(caught.value)
    assert "v3: needs CPU features that this host lacks: avx2, fma" in said
    assert "bad: rejected (because of bad)" in said
    assert caught.value.exit_code == 4
