"""What keeps a host from holding a toolchain: all of it at once, each with its remedy."""

import platform
import shutil

import pytest

from artifacts.hosts import Gpu, GpusFound, NoGpus
from artifacts.settings import Settings
from tasks.errors import ToolchainUnavailable
from tasks.toolchains import declared, host_checks, status
from tasks.toolchains.host_checks import Obstacle, unavailable
from tasks.toolchains.providers.lock import install, readiness

NO_DRIVER = NoGpus(reason="no NVIDIA driver is installed")
GPU = Gpu(index=0, name="NVIDIA L4", uuid="GPU-0", memory_bytes=24 * 10**9, compute_capability="8.9")
DRIVER_13 = GpusFound(driver="580.95.05", cuda="13.1", gpus=(GPU,))
DRIVER_12 = GpusFound(driver="550.54.15", cuda="12.4", gpus=(GPU,))


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", toolchains_dir=tmp_path / "not" / "yet")


@pytest.fixture
def host(monkeypatch):
    """Gives the host a driver, a machine type or a disk of the test's own."""

    def give(gpus=DRIVER_13, machine="x86_64", libc=("glibc", "2.39"), free=10**12):
        monkeypatch.setattr(host_checks, "probe_gpus", lambda: gpus)
        monkeypatch.setattr(platform, "machine", lambda: machine)
        monkeypatch.setattr(platform, "libc_ver", lambda: libc)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, free, free))

    return give


def reported(name, settings, **changes):
    toolchain = declared()[name].model_copy(update={"python": declared()["aot-cpu"].python} | changes)
    return [each.reason for each in readiness.obstacles(toolchain, settings)]


def test_nothing_is_in_the_way_on_a_gpu_host(host, settings):
    host()
    assert reported("vllm-cuda", settings) == []


def test_driver_is_asked_for_by_cuda_toolchains_alone(host, settings):
    host(gpus=NO_DRIVER)
    assert reported("vllm-cuda", settings) == [
        "toolchain vllm-cuda needs an NVIDIA GPU, and no NVIDIA driver is installed"
    ]
    assert reported("vllm-cpu", settings) == []


def test_driver_without_a_gpu_is_not_enough(host, settings):
    host(gpus=DRIVER_13.model_copy(update={"gpus": ()}))
    assert reported("vllm-cuda", settings) == [
        "toolchain vllm-cuda needs an NVIDIA GPU, and driver 580.95.05 reports none"
    ]


def test_driver_of_an_older_cuda_release_is_too_old(host, settings):
    host(gpus=DRIVER_12)
    (reason,) = reported("vllm-cuda", settings)
    assert reason == "toolchain vllm-cuda needs NVIDIA driver 580 or newer, and this host has 550.54.15"
    assert reported("vllm-cpu", settings) == []


@pytest.mark.parametrize(
    ("libc", "ready"), [(("glibc", "2.35"), True), (("glibc", "2.31"), False), (("", ""), False)]
)
def test_c_library_is_as_new_as_the_wheels_need(host, settings, libc, ready):
    host(libc=libc)
    assert (reported("vllm-cuda", settings) == []) == ready


@pytest.mark.parametrize("home", ["with blank", "it's", 'say "home"', "back\\slash"])
def test_compilers_need_paths_that_do_not_fall_apart(host, tmp_path, home):
    host()
    settings = Settings(home=tmp_path / home, toolchains_dir=tmp_path / "toolchains")
    (reason,) = reported("vllm-cpu", settings)
    assert reason.endswith(f"take no path with blanks or quotes: ENGINERY_HOME is {tmp_path / home}")
    assert reported("aot-serve-cpu", settings) == []
    with pytest.raises(ToolchainUnavailable, match="set ENGINERY_HOME to a directory without them"):
        install.plan_of(declared()["aot-cpu"], settings)


@pytest.mark.parametrize(
    ("name", "needed"), [("vllm-cpu", True), ("aot-cpu", True), ("aot-serve-cpu", False)]
)
def test_what_compiles_for_processors_needs_a_compiler(host, settings, monkeypatch, name, needed):
    host()
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "g++" else which(program))
    reasons = ["this toolchain needs programs that are not on PATH: g++"] if needed else []
    assert reported(name, settings) == reasons


def test_letters_of_any_alphabet_are_no_obstacle_in_a_path(host, tmp_path):
    host()
    assert reported("vllm-cpu", Settings(home=tmp_path / "hömé-目録", toolchains_dir=tmp_path)) == []


def test_all_reasons_are_reported_at_once_each_with_its_remedy(host, settings):
    host(gpus=NO_DRIVER, libc=("glibc", "2.36"), free=10**9)
    toolchain = declared()["tensorrt-llm-1.2"].model_copy(
        update={"python": "3.99", "programs": {"no-such-mpirun": "libopenmpi-dev"}, "machine": "riscv64"}
    )
    with pytest.raises(ToolchainUnavailable) as raised:
        install.ensure_declared(toolchain, settings, print)
    what, fix = raised.value.what.splitlines(), raised.value.fix.splitlines()
    assert what[0] == "this host cannot use toolchain tensorrt-llm-1.2, for 7 reasons:"
    expected = [
        ("is for riscv64", "machine type"),
        ("no NVIDIA driver", "install its driver"),
        ("need glibc 2.39", "Ubuntu 24.04"),
        ("needs Python 3.99", "apt install python3.99"),
        ("no-such-mpirun", "apt install libopenmpi-dev"),
        ("ENGINERY_WHEELHOUSE is not set", "tensorrt-cu13-libs ~=10.14.1"),
        ("needs 9.0 GB of disk, and 1.0 GB are free", "ENGINERY_TOOLCHAINS_DIR"),
    ]
    for (reason, remedy), said, remedies in zip(expected, what[1:], fix[1:], strict=True):
        assert reason in said
        assert remedy in remedies
    assert raised.value.exit_code == 4
    assert not settings.toolchains_dir.exists()


def test_single_reason_is_reported_in_its_own_words():
    error = unavailable("x", [Obstacle(reason="it rains", fix="an umbrella")])
    assert (error.what, error.fix) == ("it rains", "an umbrella")


def test_status_of_a_toolchain_that_cannot_be_installed_says_why(host, settings):
    host(gpus=NO_DRIVER, free=10**9)
    found = status("modelopt-cuda", settings)
    assert "no NVIDIA driver is installed (and " in found.reason
    assert "more reason" in found.reason
    assert found.fix.startswith("enginery toolchain install modelopt-cuda")
    assert found.obstacles[0].fix.startswith("use a host with an NVIDIA GPU")
    host()
    assert status("aot-serve-cpu", settings).obstacles == ()


def test_unfinished_installation_counts_as_free_space(host, settings):
    host(free=2 * 10**9)
    directory = settings.toolchains_dir / f"modelopt-cpu-{'0' * 16}"
    directory.mkdir(parents=True)
    (reason,) = reported("modelopt-cpu", settings)
    assert "needs 2.0 GB of disk" in reason
    with (directory / "sparse").open("wb") as file:
        file.truncate(10**9)
    assert reported("modelopt-cpu", settings) == []


def test_shim_without_an_interpreter_is_reported_in_its_words(tmp_path, monkeypatch, settings):
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'shim: python3.99: command not found' >&2; exit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (first, *_) = reported("aot-serve-cpu", settings, python="3.99")
    assert (
        first
        == f"this toolchain needs Python 3.99, and {shim} finds none: shim: python3.99: command not found"
    )
