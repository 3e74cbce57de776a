"""What is asked of the host, and how the identity comes about."""

import platform
import shutil
import sys
from pathlib import Path

import pytest
from support.toolchains.wheels import make_wheel

from artifacts.settings import Settings
from tasks.errors import ToolchainCorrupt, ToolchainUnavailable
from tasks.toolchains import NotInstalled, declared, ensure, planned_identity, status
from tasks.toolchains.declarations import TorchBuild
from tasks.toolchains.host_checks import HostProgram, find_programs
from tasks.toolchains.providers.lock import install
from tasks.toolchains.providers.lock.content import Content, read_content
from tasks.toolchains.providers.lock.installation import (
    Installation,
    Plan,
    as_toolchain,
    identity,
    read_installation,
    write_installation,
)
from tasks.toolchains.providers.lock.interpreter import Interpreter, find_interpreter

CONTENT = Content(version="2.13.0+cpu", files_sha256="a" * 64)
INSTALLATION = Installation(
    name="aot-cpu", python="3.11.7", machine="x86_64", distributions={"torch": CONTENT},
    torch=TorchBuild(version="2.13.0+cpu", cuda=None), installed_bytes=1, install_s=1.0,
)  # fmt: skip


def plan(tmp_path: Path, **changes) -> Plan:
    interpreter = Interpreter(path=Path("/p"), version="3.11.7", machine="x86_64")
    program = HostProgram(path=Path("/usr/bin/g++"), version=changes.pop("compiler", "g++ 12"))
    return Plan(
        declaration=declared()["aot-cpu"].model_copy(update=changes), interpreter=interpreter,
        programs={"g++": program}, toolchains_dir=tmp_path, temporary_dir=tmp_path,
    )  # fmt: skip


def test_interpreter_is_a_real_one_and_no_virtual_environments():
    found = find_interpreter(f"3.{sys.version_info.minor}")
    assert found.version == platform.python_version()
    assert found.path.resolve() == Path(sys._base_executable).resolve()


def test_missing_interpreter_names_the_packages():
    with pytest.raises(ToolchainUnavailable, match=r"needs Python 3\.99") as raised:
        find_interpreter("3.99")
    assert raised.value.fix.startswith("apt install python3.99, or")


def test_python_that_does_not_work_is_reported_in_its_own_words(tmp_path, monkeypatch):
    fake = tmp_path / "python3.99"
    fake.write_text("#!/bin/sh\necho 'cannot open shared object file' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ToolchainUnavailable, match="does not work: cannot open shared object file") as raised:
        find_interpreter("3.99")
    assert "3.99" in raised.value.fix


def test_python_that_does_not_work_is_started_once(tmp_path, monkeypatch):
    fake, starts = tmp_path / "python3.99", tmp_path / "starts"
    fake.write_text(f"#!/bin/sh\necho started >> {starts}; echo not here >&2; exit 127\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for _ in range(2):
        with pytest.raises(ToolchainUnavailable, match="finds none: not here"):
            find_interpreter("3.99")
    assert starts.read_text() == "started\n"


def test_missing_programs_are_named_all_at_once():
    with pytest.raises(ToolchainUnavailable, match="no-such-cc, no-such-ld") as raised:
        find_programs({"no-such-cc": "build-essential", "sh": "dash", "no-such-ld": "binutils"})
    assert raised.value.fix == "apt install build-essential binutils"


def test_host_of_another_machine_is_refused(tmp_path):
    other = declared()["aot-serve-cpu"].model_copy(update={"machine": "riscv64"})
    with pytest.raises(ToolchainUnavailable, match="is for riscv64"):
        install.plan_of(other, Settings(home=tmp_path / "home", toolchains_dir=tmp_path))


def test_full_disk_is_reported_before_anything_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**10, 10**10, 10**8))
    with pytest.raises(ToolchainUnavailable, match=r"needs 1\.5 GB of disk, and 0\.1 GB are free") as raised:
        ensure("aot-serve-cpu", Settings(home=tmp_path / "home", toolchains_dir=tmp_path))
    assert "ENGINERY_TOOLCHAINS_DIR" in raised.value.fix
    assert not list(tmp_path.glob("aot-serve-cpu*"))


def test_status_of_what_is_not_there_names_the_command(tmp_path):
    found = status("aot-serve-cpu", Settings(home=tmp_path / "home", toolchains_dir=tmp_path))
    assert found == planned_identity(
        "aot-serve-cpu", Settings(home=tmp_path / "home", toolchains_dir=tmp_path)
    )
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
def test_an_installed_toolchain_says_what_it_computes_on(tmp_path, accelerator):
    driver = declared()["aot-cuda"].driver if accelerator == "cuda" else None
    toolchain = as_toolchain(INSTALLATION, plan(tmp_path, accelerator=accelerator, driver=driver))
    assert toolchain.accelerator == accelerator


def unpack(tmp_path: Path, name: str) -> Path:
    """Install a tiny wheel as installers do."""
    shutil.unpack_archive(make_wheel(tmp_path, name, "1.0", {f"{name}.py": "x = 1\n"}), tmp_path, "zip")
    info = tmp_path / f"{name}-1.0.dist-info"
    (info / "INSTALLER").write_text("uv\n")
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


def test_toolchain_whose_interpreter_is_gone_says_how_to_fix_it(tmp_path):
    settings = Settings(home=tmp_path / "home", toolchains_dir=tmp_path)
    root = install.plan_of(declared()["aot-serve-cpu"], settings).root
    root.mkdir()
    write_installation(root, INSTALLATION)
    with pytest.raises(ToolchainUnavailable, match=r"interpreter .* is gone") as raised:
        ensure("aot-serve-cpu", settings)
    assert raised.value.fix.startswith(f"rm -r {root}")
