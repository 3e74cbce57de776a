"""Tables: what stands in a cell may have to be typed, so nothing is ever cut."""

import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest
from support.programs.cli import PROGRAM, run_here

from artifacts.settings import Settings
from engine_specs.spec import list_specs, load_spec
from engine_specs.tables import load_targets
from tasks.toolchains import declared

TYPED = {
    ("specs", "list"): [
        word
        for path in list_specs()
        for spec in [load_spec(path)]
        for word in (spec.name, spec.checkpoint.repo, *(variant.name for variant in spec.variants))
    ],
    ("targets", "list"): list(load_targets()),
    ("toolchain", "list"): list(declared()),
}


@pytest.fixture(autouse=True)
def _own_home(settings: Settings) -> None:
    """No test here sees the user's stack."""


def on_terminal(columns: int, *arguments: str) -> str:
    """What a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env = kept | {"TERM": "xterm"}
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=env,
    ):
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed: the command has ended
                break
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode())


# Too narrow for rules, wide enough where one column wraps, wide enough for all.
WIDTHS = {("specs", "list"): (20, 100, 300), ("targets", "list"): (20, 300), ("toolchain", "list"): (130,)}


@pytest.mark.parametrize(
    ("command", "columns"), [(command, one) for command, widths in WIDTHS.items() for one in widths]
)
def test_a_terminal_shows_whole_names(command: tuple[str, ...], columns: int) -> None:
    said = on_terminal(columns, *command)
    shown = re.split(r"[\s│┃(),]+", said)
    assert [word for word in TYPED[command] if word not in shown] == []
    assert "…" not in said


@pytest.mark.parametrize("command", [("specs", "list"), ("targets", "list")], ids=" ".join)
def test_a_pipe_gets_whole_names_a_row_a_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    lines = run_here(*command, env={"COLUMNS": "20"}, cwd=tmp_path).stdout.splitlines()
    assert all(any(word in line.replace(",", " ").split() for line in lines) for word in TYPED[command])
