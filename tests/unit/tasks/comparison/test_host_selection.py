"""What a host builds of a spec: the variants whose hardware it has, and for the others the reason."""

import pytest

from artifacts.hosts import Gpu, HostFacts
from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import load_spec, resolve_variants
from engine_specs.tables import load_targets
from flows import nightly
from flows.errors import BadArgument, HostUnsuitable
from flows.selection import variants_here
from tasks.comparison import divide_by_host

GIB = 2**30
LLAMA = load_spec("llama-3.1-8b-instruct")
AVX2 = load_targets()["cpu-x86-64-v3"].cpu_features


def host(*targets: str, features: tuple[str, ...] = AVX2) -> HostFacts:
    """A host with one GPU of each of these targets."""
    gpus = []
    for index, name in enumerate(targets):
        facts = load_targets()[name].gpu
        assert facts is not None
        gpus.append(
            Gpu(
                index=index,
                name=facts.product_names[0],
                uuid=f"GPU-{index}",
                memory_bytes=80 * GIB,
                compute_capability=facts.compute_capability,
            )
        )
    return HostFacts(
        machine="x86_64",
        cpu_features=features,
        gpus=tuple(gpus),
        driver="580.95.05" if gpus else None,
        no_gpus="" if gpus else "no NVIDIA driver is installed",
    )


@pytest.mark.parametrize(
    ("gpus", "here"),
    [
        ((), ()),
        (("h100-sxm",), ("h100",)),
        (("h100-sxm", "h100-sxm"), ("h100", "h100-tp2")),
        (("l40s", "l40s"), ("l40s",)),
        (("b200",), ("b200",)),
        (("h200",), ("h200",)),
        (("rtx-4090",), ()),
    ],
)
def test_a_host_builds_the_variants_whose_gpus_it_has(gpus: tuple[str, ...], here: tuple[str, ...]) -> None:
    variants = resolve_variants(LLAMA)
    divided = divide_by_host(variants, host(*gpus))
    assert tuple(one.name for one in divided.here) == here
    assert set(divided.elsewhere) == {one.name for one in variants} - set(here)


@pytest.mark.parametrize("driver", ["535.183.01", "579.99"])
def test_a_driver_older_than_its_toolchains_need_is_refused_with_found_and_wanted(driver: str) -> None:
    variants = resolve_variants(LLAMA)
    old = host("h100-sxm").model_copy(update={"driver": driver})
    divided = divide_by_host(variants, old)
    assert divided.here == ()
    assert divided.elsewhere["h100"] == f"needs NVIDIA driver 580 or newer, this host has {driver}"
    with pytest.raises(HostUnsuitable, match="needs NVIDIA driver 580 or newer"):
        variants_here(LLAMA, "h100", old)


def test_a_host_without_gpus_says_what_each_variant_needs() -> None:
    divided = divide_by_host(resolve_variants(LLAMA), host())
    first, *lines = divided.left_out.splitlines()
    assert first == (
        "6 of 6 variants left to other hosts: this one is x86_64 with no GPU: no NVIDIA driver is installed"
    )
    assert [line.split(":")[0].strip() for line in lines] == [
        "h100",
        "h100-tp2",
        "h200",
        "l40s",
        "a100",
        "b200",
    ]
    assert "needs 2 x NVIDIA H100 80GB HBM3" in lines[1]


def test_a_cpu_spec_asks_for_no_gpu_but_for_the_flags_of_its_level() -> None:
    demo = resolve_variants(load_spec("demo"))
    assert divide_by_host(demo, host()).left_out == ""
    assert "avx2" in divide_by_host(demo, host(features=("sse4_2",))).left_out


def test_a_build_takes_what_this_host_can_build_and_refuses_where_that_is_nothing() -> None:
    assert [one.name for one in variants_here(LLAMA, None, host("h100-sxm")).here] == ["h100"]
    with pytest.raises(HostUnsuitable, match="cannot be built here") as refused:
        variants_here(LLAMA, "l40s", host("h100-sxm"))
    assert "needs 1 x NVIDIA L40S" in str(refused.value)
    assert "--dry-run" in str(refused.value)
    assert refused.value.exit_code == 4
    with pytest.raises(BadArgument, match="the variants are: h100, h100-tp2"):
        variants_here(LLAMA, "h300", host("h100-sxm"))


def test_nightly_leaves_a_spec_to_other_hosts_before_it_asks_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(_settings: Settings) -> Store:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(nightly, "open_store", asked)
    monkeypatch.setattr(nightly, "probe_host", host)
    reason = nightly._reason_to_skip(LLAMA, Settings(), force=True)
    assert reason is not None
    assert reason.startswith("6 of 6 variants left to other hosts")
    monkeypatch.setattr(nightly, "probe_host", lambda: host("h100-sxm"))
    assert nightly._reason_to_skip(LLAMA, Settings(), force=True) is None
    with pytest.raises(AssertionError, match="the store was asked"):
        nightly._reason_to_skip(LLAMA, Settings(), force=False)
