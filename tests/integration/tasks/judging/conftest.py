"""A stand-in reference for every test that measures."""

from collections.abc import Iterator

import pytest
from support.judging.fake_completions import Behaviour, FakeServer, fake_server


@pytest.fixture
def reference() -> Iterator[FakeServer]:
    with fake_server(Behaviour()) as server:
        yield server
