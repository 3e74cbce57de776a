"""What each side gets of the GPUs in each placement; and what serving leaves on the disk: nothing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Never

import pytest
from support.gpu_check import host
from support.judging.judgements import TOGETHER, side
from support.standin.nvml import Recorded, reading
from support.stores.directory_bucket import DirectoryBucket

from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from engine_specs.tables import load_targets
from tasks.comparison import serve
from tasks.comparison.placements import Observed
from tasks.hosts import gpu_locks
from tasks.judging import PlacementChoice, SideMemory
from tasks.runs import Pipeline
from tasks.toolchains import Server


class EndedError(Exception):
    """Stands for whatever ends a measurement."""


def end(*_: object) -> Never:
    raise EndedError


def test_trees_that_a_killed_run_served_are_removed_by_the_next_measurement_of_anything(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(DirectoryBucket(tmp_path / "bucket"), BlobCache(settings.cache_dir))
    store.ensure_bucket()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "config.json").write_text("{}")
    tree = store.put_tree(tmp_path / "tree").digest
    root = settings.home / "serving"
    (root / ("9" * 64)).mkdir(parents=True)
    (root / ("9" * 64) / "model.safetensors").write_bytes(bytes(100))
    monkeypatch.setattr(serve, "_equipped", end)
    served = side("vllm").model_copy(update={"tree": tree})
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    with pytest.raises(EndedError), serve.bench(pipeline, [served], "a-test", TOGETHER):
        pass
    assert [path.name for path in root.iterdir() if path.is_dir()] == []


TWO_CARDS = host(load_targets()["h200"], 2)
GIB = 2**30


class OnTwoCards:
    """A host of two GPUs on which a measurement's servers are only recorded."""

    def __init__(self, settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[dict[str, Any]] = []
        self.store = Store(DirectoryBucket(root / "bucket"), BlobCache(settings.cache_dir))
        self.store.ensure_bucket()
        (root / "tree").mkdir()
        (root / "tree" / "config.json").write_text("{}")
        self.tree = self.store.put_tree(root / "tree").digest
        self.pipeline = Pipeline(settings, self.store, say=lambda _line: None)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(gpu_locks, "probe_host", lambda: TWO_CARDS)
        readings = {gpu.uuid: [reading(20.0 + gpu.index)] for gpu in TWO_CARDS.gpus}
        monkeypatch.setattr(serve, "NVML", Recorded(readings))
        monkeypatch.setattr(serve, "ensure", lambda *_, **__: self)
        monkeypatch.setattr(serve, "serving", self._serving)
        self.accelerator, self.versions, self.launcher, self.plain = "cuda", {}, self, True

    def gpus_held(self, devices: int) -> int:
        """What a toolchain of CUDA holds."""
        return devices

    @contextmanager
    def _serving(self, *_: object, **given: Any) -> Iterator[Server]:
        self.started.append(given)
        yield Server(base_url="http://127.0.0.1:9", model="m", pid=1, log=Path("log"), ready_s=1.0)

    def measure(self, devices: int, choice: PlacementChoice) -> tuple[SideMemory, ...]:
        """Bring two sides up at once; returns what was seen of their memory."""
        sides = [
            side(name).model_copy(update={"tree": self.tree, "devices": devices})
            for name in ("engine", "vllm")
        ]
        with serve.bench(self.pipeline, sides, "a-test", choice) as bench, ExitStack() as stack:
            for one in sides:
                stack.enter_context(bench.start(one))
            assert [gpu.index for gpu in bench.gpus] == [0, 1], "and so many are waited for in turn"
            locks = self.pipeline.settings.gpu_locks_dir
            assert all(gpu_locks.locked_by_a_job(gpu, locks) for gpu in TWO_CARDS.gpus)
        return Observed(bench, None).memory()

    @property
    def shown(self) -> list[tuple[str, tuple[str, ...]]]:
        """What each server was shown: numbers, and UUIDs for containers."""
        return [(one["extra_env"]["CUDA_VISIBLE_DEVICES"], one["gpus"]) for one in self.started]


def test_two_sides_of_one_device_have_a_card_each(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = OnTwoCards(settings, tmp_path, monkeypatch)
    memory = cards.measure(1, TOGETHER)
    assert cards.shown == [("0", ("GPU-0",)), ("1", ("GPU-1",))]
    assert cards.started[0]["keep_fds"] == cards.started[1]["keep_fds"], "each keeps both locks"
    assert [one.peak_bytes for one in memory] == [20 * GIB, 21 * GIB]


def test_two_sides_of_two_devices_share_both_cards_or_have_them_in_turn(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = OnTwoCards(settings, tmp_path, monkeypatch)
    shared = cards.measure(2, PlacementChoice(name="shared", reason="a test", memory_share=0.45))
    in_turn = cards.measure(2, PlacementChoice(name="in-turn", reason="a test"))
    assert cards.shown == [("0,1", ("GPU-0", "GPU-1"))] * 4
    assert [one.peak_bytes for one in shared] == [None, None], "a shared device says nothing of one side"
    assert [one.peak_bytes for one in in_turn] == [21 * GIB, 21 * GIB], "the fullest device counts"
