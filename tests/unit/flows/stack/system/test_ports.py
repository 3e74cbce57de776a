"""Ports: what is asked for is taken or refused; what is only preferred gives way, with a reason."""

import socket
from collections.abc import Iterator

import pytest

from artifacts.ports import HOST, free_port, is_free
from flows.errors import PortBusy
from flows.stack.system import ports


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_an_asked_port_that_is_busy_is_refused_by_number(busy_port: int) -> None:
    with pytest.raises(PortBusy, match=str(busy_port)):
        ports.choose("worker", requested=busy_port, preferred=1)


def test_a_preferred_port_that_is_busy_gives_way_with_the_reason(busy_port: int) -> None:
    port, reason = ports.choose("worker", requested=None, preferred=busy_port)
    assert port != busy_port
    assert is_free(port)
    assert reason == f"{busy_port} is taken by another program"


def test_a_free_preferred_port_is_kept() -> None:
    free = free_port()
    assert ports.choose("worker", requested=None, preferred=free) == (free, "free")


def test_a_port_given_to_another_use_is_not_given_twice() -> None:
    free = free_port()
    port, _ = ports.choose("worker", requested=None, preferred=free, taken={free})
    assert port != free
