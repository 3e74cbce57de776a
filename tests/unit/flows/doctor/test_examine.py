"""Examining a host: what is asked is what commands would use."""

import sys
from pathlib import Path

import pytest
from support.stores.directory_bucket import DirectoryBucket

from artifacts.errors import StoreUnreachable
from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from flows.doctor import examine as module
from flows.doctor.examine import examine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", cache_dir=tmp_path / "cache")


def test_the_store_is_named_by_what_keeps_its_bytes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = DirectoryBucket(tmp_path)
    monkeypatch.setattr(module, "open_store", lambda asked: Store(bucket, BlobCache(asked.cache_dir)))
    check = next(examine(settings, "services"))
    assert (check.name, check.outcome, check.found) == ("store", "ok", f"directory {tmp_path} answers")


def test_a_store_that_cannot_be_opened_is_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_settings: Settings) -> Store:
        raise StoreUnreachable("the configuration cannot be read", where="~/.aws/config")

    monkeypatch.setattr(module, "open_store", refuse)
    check = next(examine(settings, "services"))
    assert (check.name, check.outcome) == ("store", "warn")
    assert check.found == "the configuration cannot be read (~/.aws/config)"


def test_a_host_with_the_light_install_is_examined_without_the_local_stack(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = DirectoryBucket(tmp_path)
    monkeypatch.setattr(module, "open_store", lambda asked: Store(bucket, BlobCache(asked.cache_dir)))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with_stack = {check.name for group in ("host", "services") for check in examine(settings, group)}
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "prefect" else name)
    monkeypatch.setitem(sys.modules, "prefect", None)
    light = {check.name for group in ("host", "services") for check in examine(settings, group)}
    assert with_stack - light == {"port 4200", "port 8333", "Prefect", "hub token"}
    assert {"python", "store"} <= light
