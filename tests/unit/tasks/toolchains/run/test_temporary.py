"""Temporary files: each job and server has a directory of its own for them, and nothing of it stays."""

import getpass
import os
import tempfile
from pathlib import Path

import pytest

from tasks.runs import temporary_directory
from tasks.runs.scratch import LONGEST_FOR_SOCKETS, own_directory
from tasks.toolchains.records import Toolchain
from tasks.toolchains.run.temporary import temporary_files

NO_PROCESS = 2**30


@pytest.fixture
def short(tmp_path):
    """A directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def toolchain(tmp_path, short):
    def make(**versions):
        python = tmp_path / "bin" / "python"
        return Toolchain(
            name="t", root=tmp_path, python=python, bin_dir=python.parent, identity="0" * 64,
            versions=versions, temporary_dir=short / "tmp",
        )  # fmt: skip

    return make


def test_directory_is_its_owners_and_goes_with_its_context(short):
    with own_directory(short / "work", "label-") as path:
        (path / "left.bin").write_bytes(b"x")
        assert path.name.startswith(f"{os.getpid()}-label-")
    assert list((short / "work").iterdir()) == []


def test_leftovers_go_once_their_owner_is_no_more(short):
    for name in (f"{NO_PROCESS}-dead", f"{os.getppid()}-alive", "not-ours"):
        (short / name / "deep").mkdir(parents=True)
    with own_directory(short) as path:
        assert {each.name for each in short.iterdir()} == {f"{os.getppid()}-alive", "not-ours", path.name}


def test_path_leaves_room_for_the_names_of_sockets(short, monkeypatch, tmp_path):
    with temporary_directory(short / "tmp") as path:
        assert path.parent == short / "tmp"
        assert len(str(path)) <= LONGEST_FOR_SOCKETS
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    with temporary_directory(tmp_path / ("long" * 20)) as path:
        assert path.parent == short / f"enginery-{os.getuid()}"
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_directory_that_is_a_link_is_not_trusted(short, monkeypatch):
    (short / "elsewhere").mkdir()
    (short / "tmp").symlink_to(short / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to another user"), temporary_directory(short / "tmp"):
        pass


def test_compiled_headers_outlive_the_directory(toolchain):
    torch = toolchain(torch="2.13.0+cpu")
    header = Path(f"torchinductor_{getpass.getuser()}", "precompiled_headers", "a.h.gch")
    with temporary_files(torch) as first:
        (first / header).parent.mkdir()
        (first / header).write_text("compiled")
    with temporary_files(torch) as second:
        assert second != first
        assert (second / header).read_text() == "compiled"
        real = torch.root / "inductor" / "precompiled_headers" / "a.h.gch"
        assert (second / header).resolve() == real.resolve()


def test_toolchain_without_torch_keeps_nothing(toolchain):
    with temporary_files(toolchain(numpy="2.4.6")) as directory:
        assert list(directory.iterdir()) == []
