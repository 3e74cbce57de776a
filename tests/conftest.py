"""Fixtures that every test may use. Tests see nothing of the user's own configuration but the toolchains."""

import os
from pathlib import Path

import hypothesis
import pytest

from artifacts.settings import Settings

FOREIGN = ("AWS_", "HF_", "PREFECT_", "ENGINERY_")
# Toolchains take minutes and gigabytes to install: they are shared with the user.
SHARED = ("ENGINERY_TOOLCHAINS_DIR",)


def pytest_configure() -> None:
    """Cut the session off from credentials, endpoints and settings of the user; make hypothesis calm."""
    for name in [name for name in os.environ if name.startswith(FOREIGN) and name not in SHARED]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    # How long an example takes says more about the machine than about the code.
    hypothesis.settings.register_profile("enginery", deadline=None, max_examples=50)
    hypothesis.settings.load_profile("enginery")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a home and a cache of this test's own, for this process and those it starts."""
    monkeypatch.setenv("ENGINERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENGINERY_CACHE_DIR", str(tmp_path / "cache"))
    return Settings()
