"""What serving the sides of a measurement leaves on the disk: nothing, also if a run before was killed."""

from pathlib import Path
from typing import Never

import pytest
from support.judging.judgements import TOGETHER, side
from support.stores.directory_bucket import DirectoryBucket

from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from tasks.comparison import serve
from tasks.runs import Pipeline


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
