"""The copy of an engine that stands for another host, and what is left of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.workers.vllm import starts
from tasks.workers.vllm.starts import guest_of


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "places"
    folder.mkdir()
    monkeypatch.setattr(starts, "PLACES", folder)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "engine"
    (folder / "caches").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "caches" / "kernel.so").write_text("compiled")
    return folder


def test_a_copy_is_elsewhere_and_takes_no_space_of_its_own(tree: Path, places: Path) -> None:
    with guest_of(tree) as guest:
        assert guest.tree.is_relative_to(places)
        assert (guest.tree / "caches" / "kernel.so").samefile(tree / "caches" / "kernel.so")
        assert guest.python != Path(sys.executable)
        assert guest.python.samefile(sys.executable)
        assert "another directory, another home, another path of the toolchain" in guest.differs
    assert [*places.iterdir()] == []
    assert (tree / "config.json").read_text() == "{}"


def test_who_may_not_read_the_toolchain_is_not_asked_to_start_it(
    tree: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "_can_read", lambda *_: False)
    with guest_of(tree) as guest:
        assert guest.user is None
        assert "the same user (" in guest.differs
        assert guest.directory.stat().st_uid == os.geteuid()


def test_copies_of_builds_that_were_killed_are_removed(tree: Path, places: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (places / f"{starts.GUEST}{ended.pid}-abc" / "engine").mkdir(parents=True)
    alive = places / f"{starts.GUEST}{os.getpid()}-abc"
    alive.mkdir()
    (places / f"{starts.GUEST}{ended.pid}-link").symlink_to(tree)
    with guest_of(tree):
        names = {path.name.rpartition("-")[2] for path in places.iterdir()}
        assert {"abc", "link"} <= names
        assert len(names) == 3
    assert alive.is_dir()
    assert (tree / "config.json").is_file()
