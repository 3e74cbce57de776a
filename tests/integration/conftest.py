"""Real servers for integration tests."""

import itertools
from collections.abc import Iterator

import pytest
from support import seaweed

from artifacts.settings import Settings
from artifacts.store import Store, open_store

_buckets = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.S3Server]:
    """A real S3 server, shared by the session."""
    with seaweed.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def store(settings: Settings, s3_server: seaweed.S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in an empty bucket of its own; the environment names it for child processes too."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENGINERY_STORE_BUCKET", f"test-{next(_buckets):04d}")
    opened = open_store(Settings())
    opened.ensure_bucket()
    return opened
