"""Fixtures that every test may use. Tests see nothing of the user's own configuration but the toolchains."""

import gc
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from support.paths import ROOT, TESTS

from artifacts.settings import Settings

# Folders and files below tests/, the longest first.
FIRST = (
    "e2e",
    "faults",
    "integration/tasks/workers/aot",
    "integration/flows/stack",
    "integration/tasks/comparison",
    "integration/tasks/workers/quantize",
    "integration/tasks/workers/vllm",
    "integration/tasks/selftest",
    "integration/tasks/workers/trt_plan",
    "integration/tasks/workers/trtllm_torch",
)
# Their fixtures (a stack and a finished main job, compiled engines, a stack) are worth having once.
SHARING = ("e2e", "faults", "integration/tasks/workers/aot", "integration/flows/stack/components")
STEP_BACK = 5
FOREIGN = ("AWS_", "HF_", "PREFECT_", "ENGINERY_")
# Toolchains take minutes and gigabytes to install: they are shared with the user.
SHARED = ("ENGINERY_TOOLCHAINS_DIR",)


def pytest_configure(config: pytest.Config) -> None:
    """Cut the session off from the credentials, settings and data of the user; make hypothesis calm."""
    # Collecting tests makes a great many objects that stay, and each search for garbage would visit them all.
    gc.disable()
    for name in [name for name in os.environ if name.startswith(FOREIGN) and name not in SHARED]:
        del os.environ[name]
    # What no test chose a place for.
    home = TemporaryDirectory(prefix="enginery-tests-")
    config.add_cleanup(home.cleanup)
    os.environ["ENGINERY_HOME"] = f"{home.name}/home"
    os.environ["ENGINERY_CACHE_DIR"] = f"{home.name}/cache"
    # A shell starts what it runs in the background with Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    # How long an example takes says more about the machine than about the code.
    hypothesis.settings.register_profile("enginery", deadline=None, max_examples=50)
    hypothesis.settings.load_profile("enginery")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # Tests run next to each other, and nobody asks how fast anything really is.
    os.environ["ENGINERY_QUIET_HOST"] = "record"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest first, so that all processes end at the same time."""
    items.sort(key=lambda item: _rank(item.path))


def pytest_collection_finish() -> None:
    """From now on garbage is looked for again, but not among what was collected."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Together what shares servers or engines, else file by file."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(ROOT / nodeid.split("::", maxsplit=1)[0])

    return ByGroup(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where there are several processes, the main job goes first: nothing else takes as long in a row."""
    if "PYTEST_XDIST_WORKER" in os.environ and _group(item.path) != "e2e" and os.nice(0) == 0:
        os.nice(STEP_BACK)


def _rank(path: Path) -> int:
    where = path.relative_to(TESTS)
    areas = (where.as_posix(), *(folder.as_posix() for folder in where.parents))
    area = next((area for area in areas if area in FIRST), None)
    return FIRST.index(area) if area else len(FIRST) + (where.parts[0] == "unit")


def _group(path: Path) -> str:
    file = path.relative_to(TESTS).as_posix()
    folder = path.relative_to(TESTS).parent.as_posix()
    return folder if folder in SHARING else file


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a home and a cache of this test's own, for this process and those it starts."""
    monkeypatch.setenv("ENGINERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENGINERY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ENGINERY_GPU_LOCKS_DIR", str(tmp_path / "gpus"))
    return Settings()
