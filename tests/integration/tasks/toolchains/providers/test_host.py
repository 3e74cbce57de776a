"""An interpreter that is already there: taken as it is, known by its bytes, refused where it does not fit."""

import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import pytest
from support.toolchains.wheels import make_wheel

from artifacts.settings import Settings
from tasks.errors import ToolchainUnavailable
from tasks.toolchains import NotInstalled, Worker, ensure, run_job
from tasks.toolchains.providers.host import HostProvider
from tasks.workers.common.requests import Nothing, Request

HOST = HostProvider()
PACKAGING = version("packaging")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with packaging in it, and nothing else."""
    root = tmp_path / "theirs"
    venv.create(root, symlinks=True, with_pip=False)
    add(site_packages(root), "packaging", PACKAGING, "WHERE = 'theirs'\n")
    return root / "bin" / "python"


def site_packages(root: Path) -> Path:
    return root / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def add(directory: Path, name: str, number: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    wheel = make_wheel(directory, name, number, {f"{name}/__init__.py": text})
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, directory], check=True)
    wheel.unlink()


def everything(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in sorted(root.rglob("*"))}


def test_its_programs_run_and_nothing_of_it_changes(python, wanted, job):
    before = everything(python.parents[1])
    found = HOST.ensure(wanted({"python": str(python)}), print)
    outcome = job(found)
    assert outcome.metrics["python"] == str(python)
    assert outcome.metrics["env"]["DECLARED"] == "yes"
    assert outcome.metrics["env"]["PATH"].split(":")[0] == str(python.parent)
    assert everything(python.parents[1]) == before


def test_it_is_adopted_and_says_what_is_not_as_in_the_lock(python, wanted):
    add(site_packages(python.parents[1]), "extra", "3", "")
    found = HOST.ensure(wanted({"python": str(python)}), print)
    assert (found.provider, found.adopted, found.place) == ("host", True, str(python))
    assert [str(each) for each in found.differences] == [
        "no-such-thing is missing (lock: 1.0)",
        "extra 3 (lock: none)",
    ]
    record = found.provenance().model_dump(mode="json")
    assert record["adopted"] is True
    assert record["differences"][0] == {"name": "no-such-thing", "locked": "1.0", "found": None}
    assert found.versions == {"packaging": PACKAGING, "extra": "3"}


def test_its_identity_follows_every_byte_and_not_the_place(python, wanted, tmp_path):
    def identity(interpreter: Path) -> str:
        return HOST.ensure(wanted({"python": str(interpreter)}), print).identity

    first, file = identity(python), site_packages(python.parents[1]) / "packaging" / "__init__.py"
    assert identity(python) == first
    other = tmp_path / "elsewhere"
    venv.create(other, symlinks=True, with_pip=False)
    add(site_packages(other), "packaging", PACKAGING, "WHERE = 'theirs'\n")
    assert identity(other / "bin" / "python") == first
    size, times = file.stat().st_size, (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_text("WHERE = 'THEIRS'\n")
    os.utime(file, ns=times)
    assert file.stat().st_size == size
    changed = identity(python)
    assert changed != first
    (site_packages(python.parents[1]) / "loose.py").write_text("x = 1\n")
    assert identity(python) not in {first, changed}


def test_byte_code_and_what_installers_write_are_no_content(python, wanted):
    first = HOST.ensure(wanted({"python": str(python)}), print).identity
    folder = site_packages(python.parents[1])
    subprocess.run([python, "-m", "compileall", "-q", folder], check=True)
    (folder / f"packaging-{PACKAGING}.dist-info" / "INSTALLER").write_text("somebody\n")
    assert HOST.ensure(wanted({"python": str(python)}), print).identity == first


def test_packages_without_byte_code_are_reported_with_the_fix_and_it_works(python, wanted, tmp_path):
    compiled, bare = site_packages(python.parents[1]), tmp_path / "bare"
    add(bare, "extra", "1", "")
    add(bare, "more", "1", "")
    subprocess.run([python, "-m", "compileall", "-q", compiled], check=True)
    said: list[str] = []
    HOST.ensure(wanted({"python": str(python), "extra_paths": [str(bare)]}), said.append)
    (line,) = [line for line in said if "byte code" in line]
    assert "2 of 2 modules have no byte code" in line
    fix = line.partition("(fix: ")[2].rstrip(")")
    assert fix == f"{python} -m compileall -q {bare}"
    subprocess.run(fix.split(), check=True)
    add(bare, "third", "1", "")
    subprocess.run(fix.split(), check=True)
    said.clear()
    HOST.ensure(wanted({"python": str(python), "extra_paths": [str(bare)]}), said.append)
    assert said, "its content changed, so it is imported again"
    assert not [line for line in said if "byte code" in line]


def test_links_count_by_the_file_that_they_lead_to_if_any(python, wanted):
    folder = site_packages(python.parents[1])
    (folder / "data.txt").write_text("1")
    (folder / "link.txt").symlink_to("data.txt")
    first = HOST.ensure(wanted({"python": str(python)}), print).identity
    (folder / "nowhere").symlink_to("not-there")
    (folder / "loop").symlink_to("loop")
    (folder / "up").symlink_to("..")
    assert HOST.ensure(wanted({"python": str(python)}), print).identity == first
    (folder / "data.txt").write_text("2")
    assert HOST.ensure(wanted({"python": str(python)}), print).identity != first


def test_extra_paths_add_packages_next_to_it(python, wanted, job, tmp_path):
    alone = HOST.ensure(wanted({"python": str(python)}), print)
    extra = tmp_path / "more"
    add(extra, "packaging", PACKAGING, "WHERE = 'more'\n")
    found = HOST.ensure(wanted({"python": str(python), "extra_paths": [str(extra)]}), print)
    assert Path(job(found).metrics["packaging"]).is_relative_to(extra)
    assert found.identity != alone.identity
    assert Path(job(alone).metrics["packaging"]).is_relative_to(python.parents[1])


def test_another_version_of_the_tool_is_refused_with_found_and_wanted(python, wanted, tiny):
    tiny.lock_path.write_text("packaging==1.0\n")
    with pytest.raises(ToolchainUnavailable) as raised:
        HOST.ensure(wanted({"python": str(python)}), print)
    assert raised.value.what == f"toolchain tiny needs packaging ==1.0, and {python} has {PACKAGING}"
    found = HOST.status(wanted({"python": str(python)}))
    assert isinstance(found, NotInstalled)
    assert found.obstacles[0].reason == raised.value.what


def test_a_version_within_the_range_is_adopted_and_shown_as_a_difference(python, wanted, tiny):
    tiny.lock_path.write_text("packaging==1.0\n")
    table, major = {"python": str(python)}, int(PACKAGING.partition(".")[0])
    found = HOST.ensure(wanted(table, adopts=f">=1.0,<{major + 1}"), print)
    assert f"packaging {PACKAGING} (lock: 1.0)" in [str(each) for each in found.differences]
    with pytest.raises(ToolchainUnavailable, match=f"needs packaging <2,>=1.0, and {python} has {PACKAGING}"):
        HOST.ensure(wanted(table, adopts=">=1.0,<2"), print)


def test_an_interpreter_without_the_tool_is_refused(tmp_path, wanted):
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    with pytest.raises(ToolchainUnavailable, match="has none"):
        HOST.ensure(wanted({"python": str(tmp_path / "bare" / "bin" / "python")}), print)


def test_a_tool_that_cannot_be_imported_is_refused_in_its_words(python, wanted):
    (site_packages(python.parents[1]) / "packaging" / "__init__.py").write_text("import libnothing\n")
    with pytest.raises(ToolchainUnavailable, match="No module named 'libnothing'") as raised:
        HOST.ensure(wanted({"python": str(python)}), print)
    assert raised.value.fix == f"make this work: {python} -c 'import packaging'"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "does not exist"),
        (
            lambda path: path.write_text("#!/bin/sh\necho hello\n"),
            "does not work as a Python interpreter: hello",
        ),
        (
            lambda path: path.write_text("#!/bin/sh\nexit 3\n"),
            "does not work as a Python interpreter: exit code 3",
        ),
    ],
)
def test_what_is_not_an_interpreter_is_refused(tmp_path, wanted, make, said):
    path = tmp_path / "python"
    make(path)
    if path.exists():
        path.chmod(0o755)
    with pytest.raises(ToolchainUnavailable, match=said):
        HOST.ensure(wanted({"python": str(path)}), print)


def test_what_compilers_keep_goes_to_a_directory_of_ours(python, wanted, settings):
    found = HOST.ensure(wanted({"python": str(python)}), print)
    assert found.root == settings.home / "adopted" / "tiny"
    assert found.root.is_dir()


@pytest.mark.toolchain
def test_the_installed_toolchain_can_be_adopted(tmp_path):
    """What was installed from a lock holds what the lock names, and is not taken for it all the same."""
    installed = ensure("aot-cpu", Settings(home=tmp_path / "home"))
    table = {"aot-cpu": {"python": str(installed.python)}}
    adopted = ensure("aot-cpu", Settings(home=tmp_path / "home", toolchains=table))
    assert (adopted.versions, adopted.differences) == (installed.versions, ())
    assert (adopted.provider, installed.provider) == ("host", "lock")
    assert adopted.identity != installed.identity
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, sys, torch\n"
        "answer = {'ok': True, 'metrics': {'sum': float(torch.ones(8).sum())}, 'tools': {}}\n"
        "json.dump(answer, open(sys.argv[2], 'w'))\n"
    )
    (tmp_path / "out").mkdir()
    request = Request({}, Nothing(), {}, tmp_path / "out")
    before = everything(installed.root)
    outcome = run_job(
        adopted,
        Worker(module="worker", import_path=tmp_path),
        request,
        log=tmp_path / "log",
        on_line=print,
        time_limit_s=300,
    )
    assert outcome.metrics == {"sum": 8.0}
    assert everything(installed.root) == before
    assert (adopted.root / "inductor").is_dir()
