"""A disk without room: `down` ends everything all the same, `up` says what is wrong."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.programs.cli import run_cli
from support.programs.processes import alive
from support.servers.prefect_database import seed_database

from artifacts.settings import Settings
from flows.stack.system.processes import marked
from flows.stack.system.state import StackPaths

SIZE = "192m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory; making one takes root, as CI has it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave not one byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * (1 << 20))
            except OSError:
                break
        while True:
            try:
                file.write(b"\0")
            except OSError:
                return filler


def test_down_ends_everything_and_up_says_what_is_wrong(small_disk: Path) -> None:
    settings = Settings(home=small_disk / "home")
    root = StackPaths.below(settings.home).root
    env = {"ENGINERY_HOME": str(settings.home)}
    seed_database(settings.home)
    up = run_cli("up", env=env)
    assert up.returncode == 0, up.stderr
    try:
        daemons = marked(root)
        assert len(daemons) >= 3
        filler = fill(small_disk)
        down = run_cli("down", env=env)
    finally:
        ended = [process.pid for process in daemons if not alive(process.pid)]
        for process in marked(root):
            process.kill()
    assert ended == [process.pid for process in daemons]
    assert down.returncode == 1
    assert "the local stack is stopped" in down.stderr
    assert os.strerror(28) in down.stderr
    assert "internal error" not in down.stderr

    full = run_cli("up", env=env)
    assert full.returncode == 1
    assert "the disk of the local stack is full" in full.stderr
    assert "fix: free some space there, or point ENGINERY_HOME to another disk" in full.stderr
    assert marked(root) == []

    filler.unlink()
    assert "down" in run_cli("status", env=env).stdout
    down = run_cli("down", env=env)
    assert (down.returncode, down.stderr) == (0, "nothing was running\n")
