"""Which wheels are taken from the wheelhouse, and what is said where one is missing."""

import hashlib

import pytest

from tasks.errors import ToolchainCorrupt
from tasks.toolchains import declared
from tasks.toolchains.providers.lock.wheelhouse import Chosen, Lacking, choose_wheels, require_intact

VERSIONS = {
    "tensorrt_llm": "1.2.1", "tensorrt": "10.14.1.48", "tensorrt_cu13": "10.14.1.48",
    "tensorrt_cu13_bindings": "10.14.1.48", "tensorrt_cu13_libs": "10.14.1.48",
    "torch": "2.9.1+cu130", "torchvision": "0.24.1+cu130",
}  # fmt: skip
TAGS = "cp312-cp312-linux_x86_64"


def names(**changes):
    """File names of a complete wheelhouse, with another version or tag here and there."""
    return {name: f"{name}-{changes.get(name, version)}-{TAGS}.whl" for name, version in VERSIONS.items()}


def digest(name):
    """The digest of a file that holds its own name."""
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def wheelhouse(tmp_path):
    """Fills the directory with files of these names, and lists those that are to be listed."""

    def fill(files, unlisted=()):
        for name in files:
            (tmp_path / name).write_bytes(name.encode())
        sums = [f"{digest(name)}  {name}\n" for name in files if name not in unlisted]
        (tmp_path / "SHA256SUMS").write_text("".join(sums))
        return tmp_path

    return fill


@pytest.fixture
def toolchain():
    return declared(machine="x86_64")["tensorrt-llm-1.2"]


def reasons(toolchain, directory):
    found = choose_wheels(toolchain, directory)
    assert isinstance(found, Lacking)
    return [each.reason for each in found.obstacles]


def test_complete_wheelhouse_gives_a_wheel_for_each_requirement(wheelhouse, toolchain):
    found = choose_wheels(toolchain, wheelhouse(names().values()))
    assert isinstance(found, Chosen)
    assert {each.name.replace("-", "_"): each.version for each in found.wheels} == VERSIONS
    assert found.size_bytes() == sum(len(name) for name in names().values())
    require_intact(found)
    first, *_ = found.requirements().splitlines()
    assert first == f"tensorrt-llm==1.2.1 --hash=sha256:{digest(names()['tensorrt_llm'])}"


def test_wheels_of_other_toolchains_and_machines_may_lie_beside(wheelhouse, toolchain):
    others = [
        f"tensorrt_llm-1.4.0rc1-{TAGS}.whl",
        f"llist-0.7.1-{TAGS}.whl",
        "tensorrt_llm-1.2.1-cp310-cp310-linux_x86_64.whl",
        "tensorrt_llm-1.2.1-cp312-cp312-linux_aarch64.whl",
    ]
    directory = wheelhouse([*others, *names().values()])
    here, there = (declared(machine=machine)["tensorrt-llm-1.2"] for machine in ("x86_64", "aarch64"))
    found = choose_wheels(here, directory)
    assert isinstance(found, Chosen)
    assert found.wheels[0].path.name == names()["tensorrt_llm"]
    assert len(reasons(there, directory)) == len(VERSIONS) - 1


def test_newest_version_that_is_declared_is_taken(wheelhouse, toolchain):
    newer = f"tensorrt-10.14.1.48.post1-{TAGS}.whl"
    found = choose_wheels(
        toolchain, wheelhouse([*names().values(), newer, f"tensorrt-10.15.1.29-{TAGS}.whl"])
    )
    assert isinstance(found, Chosen)
    assert found.wheels[1].version == "10.14.1.48.post1"


def test_toolchain_that_needs_none_asks_for_no_wheelhouse():
    assert choose_wheels(declared()["vllm-cuda"], None) == Chosen(wheels=())


def test_setting_that_is_not_set_names_every_wheel(toolchain):
    (obstacle,) = choose_wheels(toolchain, None).obstacles
    assert obstacle.reason.endswith("ENGINERY_WHEELHOUSE is not set")
    assert all(f"{wheel.name} {wheel.version}" in obstacle.fix for wheel in toolchain.wheelhouse)


def test_directory_without_sums_is_no_wheelhouse(tmp_path, toolchain):
    assert reasons(toolchain, tmp_path)[0].endswith(f"{tmp_path} is not a directory with a SHA256SUMS")
    assert reasons(toolchain, tmp_path / "none")[0].endswith("is not a directory with a SHA256SUMS")


def test_each_missing_wheel_is_named(wheelhouse, toolchain):
    files = names()
    del files["tensorrt_cu13_libs"], files["torch"]
    missing = reasons(toolchain, wheelhouse(files.values()))
    assert [reason.partition("no wheel of ")[2].partition(" for ")[0] for reason in missing] == [
        "tensorrt-cu13-libs ~=10.14.1",
        "torch ==2.9.1+cu130",
    ]


def test_wheel_that_is_not_listed_is_not_there(wheelhouse, toolchain):
    directory = wheelhouse(names().values(), unlisted=[names()["torchvision"]])
    assert reasons(toolchain, directory)[0].endswith("is not listed in SHA256SUMS")


@pytest.mark.parametrize("version", ["1.2.0", "1.2.1rc1", "1.3.0rc15"])
def test_wheel_of_another_version_is_not_taken(wheelhouse, toolchain, version):
    (reason,) = reasons(toolchain, wheelhouse(names(tensorrt_llm=version).values()))
    assert reason.endswith(f"tensorrt_llm-{version}-{TAGS}.whl has another version")


def test_index_build_of_torch_is_not_the_declared_one(wheelhouse, toolchain):
    (reason,) = reasons(toolchain, wheelhouse(names(torch="2.9.1").values()))
    assert "torch-2.9.1-" in reason


def test_stub_is_refused_whatever_is_listed(wheelhouse, toolchain):
    files = names() | {"tensorrt_llm": "tensorrt_llm-1.2.1.tar.gz"}
    (reason,) = reasons(toolchain, wheelhouse(files.values()))
    assert "tensorrt_llm-1.2.1.tar.gz is not a wheel (its sources fetch other packages" in reason


def test_changed_wheel_is_corrupt(wheelhouse, toolchain):
    directory = wheelhouse(names().values())
    (directory / names()["tensorrt_cu13"]).write_bytes(b"other")
    found = choose_wheels(toolchain, directory)
    with pytest.raises(
        ToolchainCorrupt, match=r"tensorrt_cu13-10.* has the digest .* SHA256SUMS lists"
    ) as raised:
        require_intact(found)
    assert raised.value.exit_code == 6


@pytest.mark.parametrize("line", ["nonsense", "0" * 64, f"{'0' * 64}  ../up.whl", f"{'G' * 64}  a.whl"])
def test_sums_that_are_none_are_in_the_way(wheelhouse, toolchain, line):
    directory = wheelhouse(names().values())
    with (directory / "SHA256SUMS").open("a") as file:
        file.write(f"{line}\n")
    (obstacle,) = choose_wheels(toolchain, directory).obstacles
    assert obstacle.reason.startswith(f"line 8 of {directory / 'SHA256SUMS'} is not")
    assert "sha256sum *.whl > SHA256SUMS" in obstacle.fix
