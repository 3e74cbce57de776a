"""Jobs and servers of a toolchain that computes on GPUs hold them, and are shown them alone."""

import sys
import urllib.request
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from support.standin.nvml import Recorded, gpu, reading

from artifacts.hosts import GpuReading, HostFacts, ServeCommand
from artifacts.settings import Settings
from artifacts.store import Store
from tasks.comparison import placements, resident_sides
from tasks.comparison import serve as serving
from tasks.errors import GpuNotReleased, GpusUnavailable
from tasks.hosts import GpuNeed, await_released
from tasks.hosts import gpu_locks as gpus
from tasks.judging import Endpoint, PlacementChoice, Side
from tasks.runs import KeptPhases, Pipeline
from tasks.stages import WorkerStage, worker_stage
from tasks.stages.worker_stage import run_worker_stage
from tasks.toolchains import Toolchain
from tasks.workers.common.sources import Source

WORKER = """
import fcntl, json, os, sys
request, response = json.load(open(sys.argv[1])), sys.argv[2]
locks = request["params"]["locks"]
def held(name):
    with open(os.path.join(locks, name)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
seen = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "held": sorted(filter(held, os.listdir(locks)))}
open(os.path.join(request["output"], "seen.json"), "w").write(json.dumps(seen))
open(response, "w").write(json.dumps({"ok": True, "metrics": seen, "tools": {}}))
"""
SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ.get("CUDA_VISIBLE_DEVICES", "all").encode())
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
THREE = tuple(gpu(index=index) for index in range(3))
PYTHON = Path(sys.executable)


def run(pipeline: Pipeline, tmp_path: Path, need: GpuNeed) -> dict[str, object]:
    pipeline.settings.gpu_locks_dir.mkdir(parents=True, exist_ok=True)
    params = {"locks": str(pipeline.settings.gpu_locks_dir)}
    work = WorkerStage(
        "build",
        "spec",
        "variant",
        "here",
        "worker",
        (Source("worker.py", WORKER.encode()),),
        params,
        {},
        need,
    )
    return dict(run_worker_stage(pipeline, work).metrics)


@pytest.fixture
def pipeline(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    facts = HostFacts(machine="x86_64", cpu_features=(), gpus=THREE, driver="580.95.05")
    monkeypatch.setattr(gpus, "probe_host", lambda: facts)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    use_toolchain(monkeypatch, "cuda")
    return Pipeline(settings, store, say=lambda _line: None)


def use_toolchain(monkeypatch: pytest.MonkeyPatch, accelerator: str, **more: Any) -> None:
    """Let the tests' own interpreter stand for the toolchain."""
    here = Toolchain.model_validate(
        {
            "name": "here", "root": PYTHON.parents[1], "python": PYTHON, "bin_dir": PYTHON.parent,
            "identity": "0" * 64, "versions": {}, "accelerator": accelerator, **more,
        }
    )  # fmt: skip
    monkeypatch.setattr(worker_stage, "ensure", lambda *_args, **_switches: here)
    monkeypatch.setattr(serving, "ensure", lambda *_args, **_switches: here)


def sides(store: Store, tmp_path: Path, *devices: int) -> list[Side]:
    """Sides that answer with the GPUs that they are shown."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "server.py").write_text(SERVER)
    recipe = ServeCommand(toolchain="here", argv=("{python}", "{tree}/server.py", "{port}"), model="m")
    tree, names = store.put_tree(tmp_path / "tree").digest, ("NVIDIA H200",)
    return [
        Side(name=f"side {index}", serve=recipe, tree=tree, devices=count, gpu_names=names)
        for index, count in enumerate(devices)
    ]


def shown(endpoint: Endpoint) -> str:
    with urllib.request.urlopen(endpoint.url("/"), timeout=10) as answer:
        return str(answer.read().decode())


def test_a_job_holds_its_gpus_while_it_runs_and_not_after(pipeline: Pipeline, tmp_path: Path) -> None:
    seen = run(pipeline, tmp_path, GpuNeed(2, ("NVIDIA H200",)))
    assert seen["visible"] == "0,1"
    assert seen["held"] == [f"{one.uuid}.lock" for one in THREE[:2]]
    with gpus.held_gpus(
        GpuNeed(3), gpus.probe_host(), pipeline.settings.gpu_locks_dir, say=pytest.fail, environ={}
    ) as held:
        assert len(held.gpus) == 3


def test_a_job_on_the_processor_holds_none(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toolchain(monkeypatch, "cpu")
    seen = run(pipeline, tmp_path, GpuNeed(8))
    assert (seen["visible"], seen["held"]) == (None, [])


def test_a_result_says_which_toolchain_made_it_and_where_that_came_from(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differs = {"name": "a", "locked": "1", "found": "2"}
    use_toolchain(monkeypatch, "cpu", provider="host", adopted=True, differences=(differs,))
    seen = run(pipeline, tmp_path, GpuNeed(0))
    assert seen["toolchain"] == {
        "name": "here",
        "provider": "host",
        "adopted": True,
        "identity": "0" * 64,
        "differences": [differs],
    }


def test_a_job_that_this_host_has_too_few_gpus_for_does_not_start(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(GpusUnavailable, match="4 x NVIDIA H200 are needed"):
        run(pipeline, tmp_path, GpuNeed(4, ("NVIDIA H200",)))
    assert list(pipeline.store.bucket.keys("actions/")) == []


def test_sides_of_a_measurement_are_served_on_gpus_of_their_own(pipeline: Pipeline, tmp_path: Path) -> None:
    both = sides(pipeline.store, tmp_path, 2, 1)
    with resident_sides(pipeline, both, "measure") as placement, placement.serving(both) as (engine, vllm):
        assert (shown(engine), shown(vllm)) == ("0,1", "2")


def test_sides_that_do_not_fit_at_once_are_refused_instead_of_waiting_for_each_other(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with (
        pytest.raises(GpusUnavailable, match="4 x NVIDIA H200 are needed at once"),
        resident_sides(pipeline, sides(pipeline.store, tmp_path, 2, 2), "measure"),
    ):
        pytest.fail("GPUs that this host does not have were handed out")


def test_sides_that_share_are_served_on_the_same_gpus(pipeline: Pipeline, tmp_path: Path) -> None:
    both = sides(pipeline.store, tmp_path, 2, 1)
    with (
        resident_sides(pipeline, both, "measure", choice("shared")) as placement,
        placement.serving(both) as (engine, vllm),
    ):
        assert (shown(engine), shown(vllm)) == ("0,1", "0")


def test_sides_in_turn_are_served_on_the_same_gpus_with_what_was_seen_of_them(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Following()
    monkeypatch.setattr(placements, "NVML", reader)
    monkeypatch.setattr(serving, "NVML", reader)
    both = sides(pipeline.store, tmp_path, 1, 1)
    kept = KeptPhases(tmp_path / "kept", say=lambda _line: None)
    with placements.sides_in_turn(pipeline, both, "measure", choice("in-turn"), kept) as placement:
        for side in both:
            with placement.serving([side]) as (endpoint,):
                assert shown(endpoint) == "0"
                reader.now = reading(7, throttled="power cap")
                begin = perf_counter()
                assert placement.observer.throttled(side, begin, perf_counter()) == ("power cap",)
            reader.now = reading(1)
    found = placement.conditions()
    assert [one.side for one in found.starts] == ["side 0", "side 1"]
    seen = [(one.side, one.peak_bytes, one.read_by) for one in found.memory]
    assert seen == [("side 0", 7 << 30, "device"), ("side 1", 7 << 30, "device")]


class Following:
    """A reader of GPUs that returns what a test has set last."""

    now = reading(1)

    def read(self, uuid: str) -> GpuReading:
        return self.now


def test_memory_that_a_side_leaves_behind_keeps_the_next_from_starting(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placements, "NVML", Recorded({THREE[0].uuid: [reading(1), reading(9, (4242, 8.0))]}))
    monkeypatch.setattr(placements, "await_released", partial(await_released, limit_s=0.3))
    both = sides(pipeline.store, tmp_path, 1, 1)
    kept = KeptPhases(tmp_path / "kept", say=lambda _line: None)
    with (
        pytest.raises(GpuNotReleased, match=r"8\.6 GB held by process 4242"),
        placements.sides_in_turn(pipeline, both, "measure", choice("in-turn"), kept) as placement,
        placement.serving(both[:1]),
    ):
        pytest.fail("a side was started next to what another left behind")


def choice(name: str) -> PlacementChoice:
    return PlacementChoice.model_validate({"name": name, "reason": "a test says so"})


def test_sides_on_the_processor_hold_none(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toolchain(monkeypatch, "cpu")
    alone = sides(pipeline.store, tmp_path, 8)
    with resident_sides(pipeline, alone, "measure") as placement, placement.serving(alone) as (engine,):
        assert shown(engine) == "all"
