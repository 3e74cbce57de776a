"""The worker from request to engine, around a stand-in of vLLM: what ships, and what is said of it."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.repositories import safetensors
from support.engines.vllm_engines import run_module
from support.standin.vllm_server import write_vllm
from support.toolchains.workers import staged

from artifacts.hosts import EngineManifest
from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from tasks.kinds import kind_named
from tasks.workers.common.records import as_json
from tasks.workers.common.requests import Request
from tasks.workers.vllm import build as worker
from tasks.workers.vllm.place import place_of
from tasks.workers.vllm.proof import Start
from tasks.workers.vllm.request import SERVER
from tasks.workers.vllm.starts import Guest

KIND = kind_named("vllm")
Build = Callable[..., tuple[Path, dict[str, Any]]]


def variant(**options: Any) -> ResolvedVariant:
    defaults = {row.name: row.default for row in load_kinds()["vllm"].options}
    return ResolvedVariant(
        name="cpu",
        target=load_targets()["cpu-x86-64-v2"],
        engine=Engine(kind="vllm", options=defaults | options),
        quantization=Quantization(recipe="none", device="cpu"),
        shape=Shape(max_batch_size=4, max_input_len=64, max_seq_len=128, max_num_tokens=256),
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors({"w": (2, 2)}))
    return folder


@pytest.fixture
def build(tmp_path: Path, checkpoint: Path) -> Build:
    """Run the worker as a job runs it; the engine and the response."""

    def run(*, slow_s: float = 0.3, **options: Any) -> tuple[Path, dict[str, Any]]:
        plan, output = KIND.build_job(variant(**options)), tmp_path / "engine"
        output.mkdir()
        site = write_vllm(tmp_path / "site", slow_s=slow_s)
        sources = staged(tmp_path / "worker", plan.worker, SERVER)
        params = replace(plan.params, toolchains={"build": "0" * 64})
        request = Request(params, plan.admission, {"checkpoint": checkpoint}, output)
        (tmp_path / "request.json").write_text(json.dumps(as_json(request)))
        path = os.pathsep.join((str(sources.import_path), str(site)))
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
        files = (str(tmp_path / "request.json"), str(tmp_path / "response.json"))
        done = run_module(plan.worker, env, *files)
        assert done.returncode == 0, done.stdout + done.stderr
        return output, json.loads((tmp_path / "response.json").read_text())

    return run


def test_the_engine_holds_checkpoint_launcher_and_the_caches_of_a_start(
    build: Build, checkpoint: Path
) -> None:
    # So slow that the gain shows on a host on which others compute, too.
    tree, response = build(slow_s=1.5)
    manifest = EngineManifest.model_validate_json((tree / "engine.json").read_text())
    warmth = response["metrics"]["warmth"]
    assert warmth["ships"], warmth["reason"]
    assert manifest.warm_caches is not None
    assert len([*(tree / manifest.warm_caches.path).rglob("*.so")]) == 3
    assert manifest.warm_caches.captured["vllm"] == "0.32.0"
    assert manifest.serve == KIND.serve_command(variant())
    assert manifest.tools == {"vllm": "0.32.0"}
    assert response["tools"] == {"vllm": "0.32.0", "torch": "2.13.0"}
    for name in ("config.json", "model.safetensors"):
        assert (tree / name).read_bytes() == (checkpoint / name).read_bytes()
    assert (tree / "server" / "tasks" / "workers" / "vllm" / "serve.py").is_file()
    assert not Path(manifest.warm_caches.place).exists()


def test_every_start_is_reported_and_copies_used_the_caches(build: Build) -> None:
    _, response = build()
    warmth = response["metrics"]["warmth"]
    added = {
        name: {start["compiled_files_added"] for start in group} for name, group in warmth["starts"].items()
    }
    assert added == {"cold": {3}, "warm": {0}, "copy": {0}}
    counts = {len(group) for group in warmth["starts"].values()}
    assert counts <= {2, 3, 4}
    assert len(counts) == 1
    assert warmth["copy_differs_by"].startswith("another directory, another home, another path of the tool")
    assert warmth["cache_files"] == 3


def test_an_eager_engine_is_started_once_and_ships_no_caches(build: Build) -> None:
    tree, response = build(enforce_eager=True)
    warmth = response["metrics"]["warmth"]
    assert not warmth["ships"]
    assert "enforce_eager" in warmth["reason"]
    assert [len(warmth["starts"][name]) for name in ("cold", "warm", "copy")] == [1, 0, 0]
    manifest = EngineManifest.model_validate_json((tree / "engine.json").read_text())
    assert manifest.warm_caches is None
    assert not (tree / "caches").exists()


def test_caches_that_make_no_difference_do_not_ship(build: Build) -> None:
    tree, response = build(slow_s=0.0, warmth_starts=2)
    warmth = response["metrics"]["warmth"]
    proof = warmth["cold_over_copy"]["lower"], warmth["processor_cold_over_copy"]["lower"]
    assert warmth["ships"] == (max(proof) > 1.0)
    assert (tree / "caches").exists() == warmth["ships"]


def test_a_checkpoint_of_another_architecture_is_refused(build: Build, checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text(json.dumps({"architectures": ["MambaForCausalLM"]}))
    _, response = build()
    assert not response["ok"]
    assert "MambaForCausalLM" in response["error"]["what"]


def test_a_user_who_cannot_start_the_copy_does_not_end_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users: list[object] = []

    def start(_params: object, guest: Guest, *_: object) -> Start:
        users.append(guest.user)
        if guest.user is not None:
            raise SystemExit("python ended with exit code 1: no GPU for you")
        return Start(1.0, 1.0, 1, 0, 0, None, None, 3, 0)

    monkeypatch.setattr(worker, "start_copy", start)
    params = KIND.build_job(variant()).params
    trials = worker._Trials(params, tmp_path, place_of("f" * 64, tmp_path))  # type: ignore[arg-type]
    directory = tmp_path / "guest"
    directory.mkdir()
    me = (os.geteuid(), os.getegid())
    trials.guests.append(Guest(directory, tmp_path, Path("python"), me, "another home, user nobody"))
    trials._start_copy()
    trials._start_copy()
    assert users == [me, None, None]
    said = "another home, the same user (nobody: python ended with exit code 1: no GPU for you)"
    assert trials.guests[-1].differs == said
    assert len(trials.copy) == 2
