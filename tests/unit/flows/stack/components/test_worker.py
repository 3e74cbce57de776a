"""Settings of the user that ran `up` reach the runs of the stack's worker."""

from pathlib import Path
from typing import Any

import pytest

from artifacts.settings import Settings
from flows.stack.components.worker import _settings_environment


@pytest.mark.parametrize("placement", ["together", "shared", "in-turn"])
def test_a_forced_placement_reaches_the_worker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, placement: Any
) -> None:
    handed = _settings_environment(settings.model_copy(update={"placement": placement}))
    for name, value in handed.items():
        monkeypatch.setenv(name, value)
    assert Settings().placement == placement


def test_a_placement_that_is_not_forced_is_left_to_the_worker(settings: Settings) -> None:
    assert "ENGINERY_PLACEMENT" not in _settings_environment(settings)


def test_paths_that_are_relative_or_begin_with_the_home_mean_the_same_to_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "enginery.toml").write_text('specs_dir = "specs"\ncache_dir = "~/blobs"\n')
    monkeypatch.delenv("ENGINERY_CACHE_DIR", raising=False)
    handed = _settings_environment(Settings())
    assert handed["ENGINERY_SPECS_DIR"] == str(tmp_path / "specs")
    assert handed["ENGINERY_CACHE_DIR"] == str(tmp_path / "user" / "blobs")
