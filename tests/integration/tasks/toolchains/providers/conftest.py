"""A toolchain whose tool every test interpreter has, and a worker that says what it sees."""

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from artifacts.settings import Settings
from tasks.toolchains import JobOutcome, Toolchain, Worker, run_job
from tasks.toolchains.declarations import Declaration
from tasks.toolchains.providers.interface import ToolchainRequest
from tasks.workers.common.requests import Nothing, Request

WORKER = """
import json, os, subprocess, sys, time
from pathlib import Path
request = json.loads(Path(sys.argv[1]).read_text())
print("pid", os.getpid(), flush=True)
if request["params"].get("stay"):
    time.sleep(600)
Path(request["output"], "made.txt").write_text("made")
import packaging
seen = {"env": dict(os.environ), "cwd": os.getcwd(), "python": sys.executable}
seen["packaging"] = packaging.__file__
Path(sys.argv[2]).write_text(json.dumps({"ok": True, "metrics": seen, "tools": {}}))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", toolchains_dir=tmp_path / "toolchains")


@pytest.fixture
def tiny(tmp_path: Path) -> Declaration:
    """Pins packaging as it is here, and a distribution that nobody has."""
    lock = tmp_path / "tiny.txt"
    lock.write_text(f"packaging=={version('packaging')}\nno-such-thing==1.0\n")
    return Declaration(
        name="tiny", purpose="Tests.", tool="packaging", accelerator="cpu", machine="x86_64",
        python=f"3.{sys.version_info.minor}", lock=lock.name, lock_path=lock, approximate_bytes=1000,
        smoke="import packaging", env={"DECLARED": "yes"},
    )  # fmt: skip


@pytest.fixture
def wanted(tiny: Declaration, settings: Settings) -> Callable[..., ToolchainRequest]:
    """Asks for it with a table."""

    def want(table: dict[str, Any], **changes: Any) -> ToolchainRequest:
        return ToolchainRequest(tiny.model_copy(update=changes), settings, table, "[toolchains.tiny]")

    return want


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., JobOutcome]:
    """Runs the worker in a toolchain; `stay` lets it wait for its end."""
    worker, inputs, output = tmp_path / "src" / "worker.py", tmp_path / "in", tmp_path / "out"
    for directory in (worker.parent, inputs, output):
        directory.mkdir()
    worker.write_text(WORKER)

    def run(toolchain: Toolchain, *, stay: bool = False, **changes: Any) -> JobOutcome:
        request = Request({"stay": stay}, Nothing(), {"checkpoint": inputs}, output)
        given = {"log": tmp_path / "log", "on_line": print, "time_limit_s": 60.0} | changes
        return run_job(toolchain, Worker(module="worker", import_path=worker.parent), request, **given)

    return run
