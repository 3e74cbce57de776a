"""Real servers for integration tests."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.servers import seaweed
from support.stores.directory_bucket import DirectoryBucket

from artifacts.settings import Settings
from artifacts.store import Store, open_store
from artifacts.store.cache import BlobCache

BUCKET = "enginery-tests"
_prefixes = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.S3Server]:
    """A real S3 server, shared by the session."""
    with seaweed.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def store(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Store:
    """An empty store: of the S3 server, or in a directory if the test asks for that as well."""
    if getattr(request, "param", "s3") == "directory":
        opened = Store(DirectoryBucket(tmp_path / "bucket"), BlobCache(settings.cache_dir))
    else:
        opened = request.getfixturevalue("s3_store")
    opened.ensure_bucket()
    return opened


@pytest.fixture
def s3_store(settings: Settings, s3_server: seaweed.S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of the S3 server; the environment names it for child processes too.

    Tests share a bucket and differ in the prefix: the server sets several volumes aside for each bucket,
    which takes a second, and a disk holds only so many.
    """
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENGINERY_STORE_BUCKET", BUCKET)
    monkeypatch.setenv("ENGINERY_STORE_PREFIX", f"test-{next(_prefixes)}")
    return open_store(Settings())


@pytest.fixture
def elsewhere(store: Store, tmp_path: Path) -> Store:
    """The same store, as a host sees it whose cache is empty."""
    return Store(store.bucket, BlobCache(tmp_path / "cache-elsewhere"))


@pytest.fixture
def overwrite(store: Store, request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Put other bytes under a key of the store, as damage would."""
    if isinstance(bucket := store.bucket, DirectoryBucket):
        return lambda key, body: _write(bucket.path_of(key), body)
    client = seaweed.s3_client(request.getfixturevalue("s3_server"))
    prefix = os.environ["ENGINERY_STORE_PREFIX"]
    return lambda key, body: client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=body)


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


@pytest.fixture
def remove(store: Store, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Delete an object behind the store's back."""
    if isinstance(bucket := store.bucket, DirectoryBucket):
        return lambda key: bucket.path_of(key).unlink()
    client = seaweed.s3_client(request.getfixturevalue("s3_server"))
    prefix = os.environ["ENGINERY_STORE_PREFIX"]
    return lambda key: client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{key}")
