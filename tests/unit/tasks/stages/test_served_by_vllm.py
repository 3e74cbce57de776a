"""Which tree a verdict names next to vLLM's serve command: the one that the command is for."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.engines.stand_ins import put_engine
from support.judging.cases import SPEC, VARIANT, asked_of, baseline, measurements_of, stage
from support.stores.directory_bucket import DirectoryBucket

from artifacts.releases import VariantRelease
from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from tasks.runs import Pipeline
from tasks.stages import Case
from tasks.stages.judge import judge

CHECKPOINT, QUANTIZED = "a" * 64, "b" * 64


def judged(settings: Settings, directory: Path, served: str, ratio: float) -> VariantRelease:
    """The entry of an engine that is this many times as fast as vLLM on the tree `served`."""
    store = Store(DirectoryBucket(directory / "bucket"), BlobCache(settings.cache_dir))
    store.ensure_bucket()
    engine = put_engine(store, directory / "engine", stand_in=False)
    stages = (stage("fetch", CHECKPOINT), stage("build", engine))
    case = Case(SPEC, VARIANT, "0" * 40, stages, datetime.now(UTC))
    asked = asked_of(engine, served)
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    return judge(pipeline, case, baseline(), measurements_of(asked, ratio=ratio)).entry


@pytest.mark.parametrize("served", [CHECKPOINT, QUANTIZED])
def test_what_stays_on_vllm_is_served_from_the_tree_that_its_command_is_for(
    settings: Settings, tmp_path: Path, served: str
) -> None:
    entry = judged(settings, tmp_path, served, ratio=0.7)
    assert entry.verdict == "stay-on-vllm"
    assert (entry.tree, entry.serve) == (served, entry.vllm_serve)
    assert (entry.vllm_tree, entry.checkpoint_tree) == (served, CHECKPOINT)
    assert {served, CHECKPOINT} <= set(entry.trees), "both are fetched, verified and kept"


def test_next_to_an_engine_vllm_is_named_with_its_own_tree(settings: Settings, tmp_path: Path) -> None:
    entry = judged(settings, tmp_path, QUANTIZED, ratio=1.4)
    assert entry.verdict == "compile"
    assert entry.tree != QUANTIZED
    assert entry.vllm_tree == QUANTIZED
