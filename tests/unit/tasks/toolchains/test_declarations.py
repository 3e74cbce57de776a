"""The declarations and locks that ship, and what a lock may say."""

import re
from datetime import date

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from engine_specs.tables import load_kinds, load_targets
from tasks.errors import ToolchainUnavailable
from tasks.toolchains import Declaration, declarations, declared, driver_floor, end_of_life_warnings
from tasks.toolchains.declarations import (
    DECLARATIONS_FILE,
    LOCKS_DIR,
    DriverFloor,
    TorchBuild,
    declaration,
    locked_versions,
)
from tasks.toolchains.providers.facts import tool_specifier

HASHED = re.compile(r"(?:[a-z0-9-]+==[^\s\\]+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)+")
NAMES = sorted(yaml.load(DECLARATIONS_FILE.read_text(), Loader=yaml.CSafeLoader))
CPU = sorted(name for name, toolchain in declared().items() if toolchain.accelerator == "cpu")


@pytest.fixture(params=[(name, machine) for name in NAMES for machine in ("x86_64", "aarch64")], ids="-".join)
def toolchain(request):
    """Every toolchain, as declared for hosts of either machine type."""
    name, machine = request.param
    return declared(machine=machine)[name]


def test_toolchains_are_declared_for_every_machine_that_has_a_target():
    for kind in load_kinds().values():
        roles = kind.toolchains
        names = {*roles.build.values(), *roles.serve.values(), *roles.quantize.values()}
        machines = {each.machine for each in load_targets().values() if each.accelerator in kind.accelerators}
        for machine in machines:
            on_machine = {name for name in names if declaration(name).accelerator == "cuda"}
            assert all(declared(machine=machine)[name].machine == machine for name in on_machine)


def test_locks_hold_exact_versions_with_hashes_and_nothing_else(toolchain):
    text = toolchain.lock_path.read_text()
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert HASHED.fullmatch(body)
    assert not re.search(r"https?:|file:|--index|--find-links|/", body)


def test_locks_agree_with_their_declaration(toolchain):
    locked = locked_versions(toolchain.lock_path.read_text())
    elsewhere = {wheel.name for wheel in toolchain.wheelhouse} | toolchain.left_out.keys()
    assert not locked.keys() & elsewhere
    assert toolchain.tool in toolchain.pins() or toolchain.tool in elsewhere
    wanted = (LOCKS_DIR / f"{toolchain.name}.in").read_text().splitlines()
    asked = [Requirement(line) for line in wanted if not line.startswith("#")]
    on_machine = [each for each in asked if not each.marker or toolchain.machine in str(each.marker)]
    for each in on_machine:
        assert each.specifier.contains(locked[canonicalize_name(each.name)], prereleases=True)


def test_cuda_toolchains_name_the_oldest_driver_of_their_cuda_release(toolchain):
    """The floors are those of NVIDIA's table of minor version compatibility."""
    oldest = {None: None, "12": "525.60.13", "13": "580"}
    cuda = toolchain.torch and toolchain.torch.cuda and toolchain.torch.cuda.partition(".")[0]
    assert (toolchain.driver and toolchain.driver.floor) == oldest[cuda]


@pytest.mark.parametrize(("name", "change"), [("vllm-cuda", None), ("vllm-cpu", "580")])
def test_a_driver_is_named_by_cuda_toolchains_and_no_others(name, change):
    entry = declared()[name].model_dump()
    driver = change and {"floor": change, "source": "some table"}
    with pytest.raises(ValidationError, match="name their oldest driver"):
        Declaration.model_validate(entry | {"driver": driver})


def test_the_floor_of_several_toolchains_is_the_newest_of_theirs(monkeypatch):
    older = declared()["vllm-cuda"].model_copy(
        update={"driver": DriverFloor(floor="525.60.13", source="the table of CUDA 12.x")}
    )
    all_of_them = {**declared(), "vllm-cuda": older}
    monkeypatch.setattr(declarations, "declared", lambda: all_of_them)
    assert driver_floor(["vllm-cuda"]) == "525.60.13"
    assert driver_floor(["modelopt-cuda", "vllm-cuda", "vllm-cpu"]) == "580"
    assert driver_floor(["vllm-cpu"]) is None


def test_what_is_locked_could_also_be_adopted(toolchain):
    """A range names what else may be there; no range that leaves out the locked version itself."""
    assert tool_specifier(toolchain).contains(toolchain.tool_version().removeprefix("=="), prereleases=True)


def test_every_lock_belongs_to_a_toolchain():
    used = {each.lock for machine in ("x86_64", "aarch64") for each in declared(machine=machine).values()}
    assert used == {path.name for path in LOCKS_DIR.glob("*.txt")}


@pytest.mark.parametrize("name", CPU)
def test_cpu_toolchains_pin_a_cpu_build_of_torch_or_none_and_hold_nothing_of_cuda(name):
    toolchain = declared()[name]
    built = None if name == "lm-eval" else TorchBuild(version="2.13.0+cpu", cuda=None)
    assert toolchain.torch == built
    assert toolchain.pins().get("torch") == (built and built.version)
    assert not [held for held in toolchain.pins() if held.startswith(("nvidia-cu", "nvidia-nccl", "triton"))]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(CPU)))
def test_cuda_toolchains_have_torch_with_digests(name, machine):
    toolchain = declared(machine=machine)[name]
    assert (toolchain.accelerator, toolchain.machine, toolchain.torch.cuda) == ("cuda", machine, "13.0")
    wheels = {wheel.name: wheel.version.removeprefix("==") for wheel in toolchain.wheelhouse}
    assert (toolchain.pins() | wheels)["torch"] == toolchain.torch.version
    assert toolchain.pinned_torch is None


@pytest.mark.parametrize("name", ["tensorrt-llm-1.2", "tensorrt-llm-1.4"])
def test_what_an_index_has_only_as_a_stub_comes_from_the_wheelhouse(name):
    wheels = {wheel.name: wheel for wheel in declared()[name].wheelhouse}
    assert "tensorrt-llm" in wheels
    assert ("tensorrt-cu13-libs" in wheels) == (name == "tensorrt-llm-1.2")
    assert all(wheel.specifier for wheel in wheels.values())


@pytest.mark.parametrize(
    ("declared_as", "found", "allowed"),
    [
        (("2.13.0+cpu", None), ("2.13.0+cpu", None), True),
        (("2.13.0+cpu", None), ("2.13.0+cu130", "13.0"), False),
        (("2.13.0", "13.0"), ("2.13.0+cu130", "13.0"), True),
        (("2.13.0", "13.0"), ("2.13.0", "13.0"), True),
        (("2.13.0", "13.0"), ("2.13.0+cu128", "12.8"), False),
        (("2.13.0", "13.0"), ("2.13.0+cpu", None), False),
        (("2.13.0", "13.0"), ("2.13.1+cu130", "13.0"), False),
        (("2.9.1+cu130", "13.0"), ("2.9.1+cu128", "12.8"), False),
    ],
)
def test_torch_is_known_by_its_own_words(declared_as, found, allowed):
    build, other = (TorchBuild(version=version, cuda=cuda) for version, cuda in (declared_as, found))
    assert build.allows(other) == allowed


def test_end_of_life_is_reported_once_for_each_toolchain_in_order():
    names = ["tensorrt-llm-1.2", "vllm-cpu", "modelopt-0.37-cpu", "tensorrt-llm-1.2"]
    said = end_of_life_warnings(names, date(2026, 6, 30))
    assert [sentence.split(":")[0] for sentence in said] == [
        "toolchain tensorrt-llm-1.2", "toolchain modelopt-0.37-cpu"
    ]  # fmt: skip
    assert "ended on 2026-06-30; instead: the kind trtllm-torch" in said[0]
    assert "ends on 2026-06-30" in end_of_life_warnings(names, date(2026, 6, 29))[0]
    with pytest.raises(ToolchainUnavailable, match="no toolchain named"):
        end_of_life_warnings(["aot-gpu"], date(2026, 6, 30))


def test_serving_needs_nothing_that_downloads():
    assert declared()["aot-serve-cpu"].pins().keys().isdisjoint({"transformers", "huggingface-hub", "httpx"})


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ToolchainUnavailable, match="no toolchain named 'aot-gpu'") as raised:
        declaration("aot-gpu")
    assert "aot-serve-cpu" in raised.value.fix


def test_locked_versions_are_read_with_normalised_names():
    assert locked_versions("# c\nA_b==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nc==2+cpu\n") == {
        "a-b": "1.0",
        "c": "2+cpu",
    }


@pytest.mark.parametrize(
    "line", ["torch", "torch>=2", "torch==2.*", "torch==2,!=3", "-r other.txt", "./torch.whl"]
)
def test_a_lock_that_leaves_a_choice_is_none(line):
    with pytest.raises(ValueError, match="pin"):
        locked_versions(line)
