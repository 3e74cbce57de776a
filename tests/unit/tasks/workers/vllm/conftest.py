"""An engine tree of kind vllm around a stand-in of vLLM, and the launcher as a process."""

import json
import os
import sys
from pathlib import Path

import pytest
from support.engines.vllm_engines import Serve, Started, write_manifest
from support.standin.vllm_server import write_vllm

from artifacts.ports import free_port
from tasks.workers.common.trial_server import TrialServer
from tasks.workers.vllm.captures import captured_with
from tasks.workers.vllm.place import place_of
from tasks.workers.vllm.tree import write_launcher


@pytest.fixture
def fake_vllm(tmp_path: Path) -> Path:
    return write_vllm(tmp_path / "site")


PINNED = {"CUDA_HOME": None, "VLLM_LOGGING_LEVEL": "INFO"}


@pytest.fixture
def tree(tmp_path: Path, fake_vllm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine whose caches were captured on this host, for a place below the test's own directory."""
    monkeypatch.syspath_prepend(str(fake_vllm))
    folder = tmp_path / "engine"
    (folder / "caches" / "inductor").mkdir(parents=True)
    (folder / "caches" / "inductor" / "kernel.so").write_text("compiled")
    write_launcher(folder)
    place = place_of("f" * 64, tmp_path).path
    captured = captured_with(on_gpu=False) | {"vllm": "0.32.0", "torch": "2.13.0"}
    write_manifest(
        folder, {"path": "caches", "place": str(place), "captured": captured, "environment": PINNED}
    )
    return folder


@pytest.fixture
def serve(fake_vllm: Path, tmp_path: Path) -> Serve:
    """Run the launcher that the tree ships until vLLM answers; it ends at once then."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(tree: Path, *more: str, python: str = sys.executable, **variables: str) -> Started:
        port = free_port()
        own = ("--tree", str(tree), "--port", str(port), "--model", "demo")
        argv = [python, "-P", "-m", "tasks.workers.vllm.serve", *own, *more, "--", "--no-enforce-eager"]
        path = os.pathsep.join((str(tree / "server"), str(fake_vllm)))
        env = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "PYTHONPATH": path, "TMPDIR": str(scratch)}
        env["VLLM_LOGGING_LEVEL"] = "INFO"
        with TrialServer(argv, env | variables, scratch) as server:
            server.await_ready(port, "/health")
        said, seen = server.lines[0], json.loads(server.lines[1])
        return Started(said, seen["argv"], seen["env"], seen["prefix"])

    return run
