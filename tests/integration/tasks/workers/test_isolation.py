"""What a worker finds to import where it runs: its own modules, and what its toolchain holds."""

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.paths import ROOT
from support.toolchains.workers import staged

from artifacts.settings import Settings
from artifacts.store import Store
from tasks.errors import WorkerFailed
from tasks.runs import Pipeline
from tasks.stages import worker_stage
from tasks.stages.quantize import WORKER as QUANTIZE
from tasks.stages.worker_stage import WorkerStage, run_worker_stage
from tasks.toolchains import Toolchain, run_job
from tasks.workers.aot.request import SERVER
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.common.sources import Source, closure, write_sources

WORKER = """
import importlib
from dataclasses import dataclass
from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Result

@dataclass(frozen=True)
class Asked:
    names: tuple[str, ...]

def main(request):
    found = []
    for name in request.params.names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        found.append(name)
    return Result({"found": found}, {})

if __name__ == "__main__":
    run(main, Asked, Nothing)
"""


WORKERS = (
    QUANTIZE,
    *(
        f"tasks.workers.{path.parent.name}.build"
        for path in sorted((ROOT / "tasks" / "workers").glob("*/build.py"))
    ),
)
HIDDEN = (
    *("artifacts", "engine_specs", "flows", "tests", "pydantic", "prefect"),
    *("tasks.errors", "tasks.kinds", "tasks.toolchains"),
    *("tasks.workers.quantize", "tasks.workers.common.tool"),
)
GIVEN = ("tasks.workers.common.io", "json")


@dataclass(frozen=True)
class Asked:
    """What the worker above reads: names of modules."""

    names: tuple[str, ...]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    """An interpreter without packages as a toolchain."""
    root = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    python = root / "bin" / "python"
    return Toolchain(
        name="bare", root=root, python=python, bin_dir=python.parent, identity="0" * 64, versions={}
    )


def test_a_worker_can_import_its_own_modules_and_nothing_else_of_ours(
    settings: Settings,
    store: Store,
    bare: Toolchain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_stage, "ensure", lambda *_args, **_switches: bare)
    # Whoever builds may stand in a checkout, and have it on the import path.
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sources = (*closure("tasks.workers.common.io"), Source("sees.py", WORKER.encode()))
    work = WorkerStage(
        "build", "spec", "variant", "bare", "sees", sources, Asked((*HIDDEN, *GIVEN)), inputs={}
    )
    made = run_worker_stage(Pipeline(settings, store, say=lambda _line: None), work)
    assert made.metrics["found"] == list(GIVEN)


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_reads_its_request_before_it_needs_any_tool(
    bare: Toolchain, tmp_path: Path, worker: str
) -> None:
    request = Request({}, Nothing(), {}, tmp_path / "output")
    with pytest.raises(WorkerFailed) as failed:
        run_job(
            bare,
            staged(tmp_path / "worker", worker),
            request,
            log=tmp_path / "log",
            on_line=lambda _line: None,
            time_limit_s=60,
        )
    assert "InvalidRecord: request.params." in str(failed.value)
    assert ": missing key" in str(failed.value)


def test_a_shipped_server_starts_from_its_tree_alone(bare: Toolchain, tmp_path: Path) -> None:
    write_sources(closure(SERVER), tmp_path / "server")
    requires = {"machine": platform.machine(), "cpu_features": ["avx9000"]}
    (tmp_path / "engine.json").write_text(json.dumps({"requires": requires}))
    command = [bare.python, "-P", "-m", SERVER, "--tree", tmp_path, "--port", "1", "--model", "m"]
    # It stands in a checkout, whose own modules it must not take.
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path / "server")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "lacks avx9000" in ended.stderr
    assert ended.returncode == 3
