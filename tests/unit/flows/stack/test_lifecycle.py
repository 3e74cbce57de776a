"""`up` with ports that are taken or requested twice: refused before anything is started."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifacts.errors import BadPath
from artifacts.ports import HOST
from artifacts.settings import Settings
from flows.errors import PortBusy
from flows.stack import lifecycle


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of what `up` starts, which are not run."""
    commands: list[list[str]] = []

    def spawn(argv: list[str], **_: object) -> None:
        commands.append(argv)
        raise AssertionError("nothing may be started")

    monkeypatch.setattr(lifecycle, "spawn", spawn)
    return commands


@pytest.mark.parametrize("use", ["s3_port", "prefect_port"])
def test_a_port_that_is_taken_is_refused_before_anything_is_started(
    settings: Settings, started: list[list[str]], busy_port: int, use: str
) -> None:
    with pytest.raises(PortBusy, match=f"port {busy_port} is taken"):
        lifecycle.up(settings, print, **{use: busy_port})
    assert started == []


def test_one_port_for_two_servers_is_refused(settings: Settings, started: list[list[str]]) -> None:
    with pytest.raises(PortBusy, match="port 9000 is requested twice"):
        lifecycle.up(settings, print, s3_port=9000, prefect_port=9000)
    assert started == []


def test_a_home_outside_of_which_prefect_would_keep_its_data_is_refused(
    started: list[list[str]], tmp_path: Path
) -> None:
    with pytest.raises(BadPath, match="a question mark cannot be part"):
        lifecycle.up(Settings(home=tmp_path / "mine?yours"), print)
    assert started == []
