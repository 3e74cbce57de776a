"""Which variant runs where."""

import platform
from pathlib import Path

import pytest
from support.releases import NOTHING, release, variant

from artifacts.compat import Fits, HostFacts, Refused, choose_variant, fits, probe_host
from artifacts.engine import HostRequirements
from artifacts.errors import NotFound, NothingFits

OLD = HostFacts(machine="x86_64", cpu_features=("sse4_2", "ssse3"))
NEW = HostFacts(machine="x86_64", cpu_features=("avx2", "avx512f", "fma", "sse4_2", "ssse3"))
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


def test_where_nothing_fits_every_candidate_is_named_with_its_reason() -> None:
    rejected = variant("bad", verdict="rejected")
    with pytest.raises(NothingFits) as caught:
        choose_variant(release(V3, rejected), OLD)
    said = str(caught.value)
    assert "v3: needs CPU features that this host lacks: avx2, fma" in said
    assert "bad: rejected (because of bad)" in said
    assert caught.value.exit_code == 4
