"""What is asked of the host, and how the identity comes about."""

import platform
import shutil
import sys
from pathlib import Path

import pytest
from support.wheels import make_wheel

from artifacts.settings import Settings
from tasks.errors import (
    TaskError,
    ToolchainCorrupt,
    ToolchainInstallFailed,
    ToolchainUnavailable,
    WorkerCancelled,
)
from tasks.toolchains import NotInstalled, Toolchain, declared, planned_identity, status
from tasks.toolchains.declarations import TorchBuild
from tasks.toolchains.providers.lock import install
from tasks.toolchains.providers.lock.content import Content, read_content, remove_unfinished
from tasks.toolchains.providers.lock.installation import (
    Installation,
    Plan,
    as_toolchain,
    identity,
    read_installation,
    write_installation,
)
from tasks.toolchains.providers.lock.interpreter import Interpreter, Program, find_interpreter, find_programs
from tasks.toolchains.providers.lock.pip import COLLECTING, told
from tasks.toolchains.run.environment import job_environment, pip_environment

CONTENT = Content(version="2.13.0+cpu", files_sha256="a" * 64)
INSTALLATION = Installation(
    name="aot-cpu", python="3.11.7", machine="x86_64", distributions={"torch": CONTENT},
    torch=TorchBuild(version="2.13.0+cpu", cuda=None), installed_bytes=1, install_s=1.0,
)  # fmt: skip


def plan(tmp_path: Path, **changes) -> Plan:
    interpreter = Interpreter(path=Path("/p"), version="3.11.7", machine="x86_64", pip_wheel=Path("/w"))
    program = Program(path=Path("/usr/bin/g++"), version=changes.pop("compiler", "g++ 12"))
    return Plan(
        declaration=declared()["aot-cpu"].model_copy(update=changes), interpreter=interpreter,
        programs={"g++": program}, toolchains_dir=tmp_path, temporary_dir=tmp_path,
    )  # fmt: skip


def test_interpreter_is_a_real_one_and_no_virtual_environments():
    found = find_interpreter(f"3.{sys.version_info.minor}")
    assert found.version == platform.python_version()
    assert found.path.resolve() == Path(sys._base_executable).resolve()
    assert found.pip_wheel.is_file()


def test_missing_interpreter_names_the_packages():
    with pytest.raises(ToolchainUnavailable, match=r"needs Python 3\.99") as raised:
        find_interpreter("3.99")
    assert raised.value.fix.startswith("apt install python3.99 python3.99-venv")


def test_python_without_venv_names_the_package(tmp_path, monkeypatch):
    fake = tmp_path / "python3.99"
    fake.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ToolchainUnavailable, match="No module named 'ensurepip'") as raised:
        find_interpreter("3.99")
    assert raised.value.fix == "apt install python3.99-venv"


def test_missing_programs_are_named_all_at_once():
    with pytest.raises(ToolchainUnavailable, match="no-such-cc, no-such-ld") as raised:
        find_programs({"no-such-cc": "build-essential", "sh": "dash", "no-such-ld": "binutils"})
    assert raised.value.fix == "apt install build-essential binutils"


def test_host_of_another_machine_is_refused(tmp_path):
    other = declared()["aot-serve-cpu"].model_copy(update={"machine": "riscv64"})
    with pytest.raises(ToolchainUnavailable, match="is for riscv64"):
        install.plan_of(other, Settings(toolchains_dir=tmp_path))


def test_full_disk_is_told_before_anything_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 10**10, 10**8))
    with pytest.raises(ToolchainUnavailable, match=r"needs 1\.5 GB of disk, and 0\.1 GB are free") as raised:
        install.ensure("aot-serve-cpu", Settings(toolchains_dir=tmp_path))
    assert "ENGINERY_TOOLCHAINS_DIR" in raised.value.fix
    assert not list(tmp_path.glob("aot-serve-cpu*"))


def test_status_of_what_is_not_there_names_the_command(tmp_path):
    found = status("aot-serve-cpu", Settings(toolchains_dir=tmp_path))
    assert found == planned_identity("aot-serve-cpu", Settings(toolchains_dir=tmp_path))
    assert isinstance(found, NotInstalled)
    assert found.fix == "enginery toolchain install aot-serve-cpu"


def test_installation_reads_back_as_written(tmp_path):
    assert read_installation(tmp_path) is None
    write_installation(tmp_path, INSTALLATION)
    assert read_installation(tmp_path) == INSTALLATION


def test_identity_follows_content_compiler_and_environment_and_not_the_place(tmp_path):
    here = identity(INSTALLATION, plan(tmp_path))
    assert here == identity(INSTALLATION.model_copy(update={"install_s": 2.0}), plan(tmp_path / "elsewhere"))
    changed = Content(version="2.13.0+cpu", files_sha256="b" * 64)
    others = {
        identity(INSTALLATION.model_copy(update={"distributions": {"torch": changed}}), plan(tmp_path)),
        identity(INSTALLATION.model_copy(update={"python": "3.11.8"}), plan(tmp_path)),
        identity(INSTALLATION, plan(tmp_path, compiler="g++ 13")),
        identity(INSTALLATION, plan(tmp_path, env={"A": "1"})),
    }
    assert len(others | {here}) == 5


def test_directory_is_named_by_what_is_asked_for(tmp_path):
    root = plan(tmp_path).root
    assert root == plan(tmp_path, compiler="g++ 13").root
    assert root != plan(tmp_path, torch=TorchBuild(version="2.13.0+cu130", cuda="13.0")).root
    assert as_toolchain(INSTALLATION, plan(tmp_path)).program_dirs == (Path("/usr/bin"),)


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_an_installed_toolchain_tells_what_it_computes_on(tmp_path, accelerator):
    toolchain = as_toolchain(INSTALLATION, plan(tmp_path, accelerator=accelerator))
    assert toolchain.accelerator == accelerator


def unpack(tmp_path: Path, name: str, *, finished: bool = True) -> Path:
    """Install a tiny wheel as pip does."""
    shutil.unpack_archive(make_wheel(tmp_path, name, "1.0", {f"{name}.py": "x = 1\n"}), tmp_path, "zip")
    info = tmp_path / f"{name}-1.0.dist-info"
    if finished:
        (info / "INSTALLER").write_text("pip\n")
        with (info / "RECORD").open("a") as record:
            record.write(f"{info.name}/INSTALLER,sha256=x,4\n../../../bin/{name},sha256=x,1\n")
    return info


def test_content_is_checked_and_does_not_depend_on_the_installer(tmp_path):
    info = unpack(tmp_path, "one")
    before = read_content(tmp_path)
    assert before["one"].version == "1.0"
    (info / "INSTALLER").write_text("somebody else\n")
    assert read_content(tmp_path) == before
    (tmp_path / "one.py").write_text("x = 2\n")
    with pytest.raises(ToolchainCorrupt, match="a file of one") as raised:
        read_content(tmp_path)
    assert raised.value.where == str(tmp_path / "one.py")


def test_only_what_was_cut_off_is_forgotten(tmp_path):
    kept, cut_off, bare = (
        unpack(tmp_path, "kept"),
        unpack(tmp_path, "cut", finished=False),
        tmp_path / "bare-1.dist-info",
    )
    bare.mkdir()
    assert remove_unfinished(tmp_path) == ["bare-1", "cut-1.0"]
    assert kept.exists()
    assert not cut_off.exists()


def test_job_environment_is_an_allow_list():
    toolchain = Toolchain(
        name="t", root=Path("/t"), python=Path("/t/bin/python"), bin_dir=Path("/t/bin"), identity="0" * 64,
        versions={}, env={"TOOL": "1"}, program_dirs=(Path("/opt/cc/bin"),),
    )  # fmt: skip
    source = {
        "HOME": "/h",
        "HF_TOKEN": "s",
        "AWS_PROFILE": "s",
        "PATH": "/evil",
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": "s",
    }
    made = job_environment(toolchain, {"HF_HUB_OFFLINE": "0", "EXTRA": "e"}, source)
    assert made["PATH"] == "/t/bin:/opt/cc/bin:/usr/local/bin:/usr/bin:/bin"
    assert (made["HOME"], made["OMP_NUM_THREADS"], made["TOOL"], made["EXTRA"]) == ("/h", "2", "1", "e")
    assert made["HF_HUB_OFFLINE"] == "0"
    assert "s" not in made.values()


def test_declared_threads_leave_a_processor_free_unless_the_user_says_otherwise(monkeypatch):
    toolchain = Toolchain(
        name="t", root=Path("/t"), python=Path("/p"), bin_dir=Path("/b"), identity="0" * 64, versions={},
        env={"OMP_NUM_THREADS": "{spare_processors}"},
    )  # fmt: skip
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert job_environment(toolchain, {}, {})["OMP_NUM_THREADS"] == "3"
    assert job_environment(toolchain, {}, {"OMP_NUM_THREADS": "2"})["OMP_NUM_THREADS"] == "2"
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert job_environment(toolchain, {}, {})["OMP_NUM_THREADS"] == "1"


def test_pip_keeps_the_users_sources_and_not_the_users_targets():
    source = {
        "PIP_INDEX_URL": "i",
        "PIP_TARGET": "t",
        "PIP_USER": "1",
        "HTTPS_PROXY": "p",
        "AWS_PROFILE": "s",
    }
    made = pip_environment(source)
    assert (made["PIP_INDEX_URL"], made["HTTPS_PROXY"]) == ("i", "p")
    assert made.keys().isdisjoint({"PIP_TARGET", "PIP_USER", "AWS_PROFILE"})


@pytest.mark.parametrize(
    ("line", "name", "version"),
    [
        ("Collecting filelock==4.2.12 (from -r lock.txt (line 3))", "filelock", "4.2.12"),
        ("Processing /w/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "torch", "2.13.0+cpu"),
        ("Processing /w/typing_extensions-4.16.0-py3-none-any.whl (from x)", "typing_extensions", "4.16.0"),
        ("Collecting huggingface-hub==2.4.0", "huggingface-hub", "2.4.0"),
        ("Requirement already satisfied: numpy==2.4.6 in /x", "numpy", "2.4.6"),
    ],
)
def test_pips_lines_become_progress(line, name, version):
    found = COLLECTING.match(line)
    assert (found["name"], found["version"]) == (name, version)


def test_failure_that_pip_does_not_explain_says_that_it_can_be_repeated():
    error = told(TaskError("pip ended with exit code 1", where="log"), ["Connection reset by peer"])
    assert type(error) is ToolchainInstallFailed
    assert "the same command again" in error.fix


def test_cancelled_installation_stays_a_cancellation():
    cancelled = WorkerCancelled("installing was stopped")
    assert told(cancelled, ["ERROR: No matching distribution found for torch"]) is cancelled


def test_toolchain_whose_interpreter_is_gone_says_how_to_mend_it(tmp_path):
    settings = Settings(toolchains_dir=tmp_path)
    root = install.plan_of(declared()["aot-serve-cpu"], settings).root
    root.mkdir()
    write_installation(root, INSTALLATION)
    with pytest.raises(ToolchainUnavailable, match=r"interpreter .* is gone") as raised:
        install.ensure("aot-serve-cpu", settings)
    assert raised.value.fix.startswith(f"rm -r {root}")
