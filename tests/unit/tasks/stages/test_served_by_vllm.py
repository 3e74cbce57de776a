"""Which tree a verdict names next to vLLM's serve command: the one that the command is for."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.engines.stand_ins import put_engine
from support.judging.cases import SPEC, VARIANT, asked_of, baseline, measurements_of, stage
from support.judging.judgements import accuracy_result, speed_point
from support.stores.directory_bucket import DirectoryBucket

from artifacts.releases import VariantRelease
from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from tasks.judging import SpeedResult
from tasks.runs import Pipeline
from tasks.stages import Case
from tasks.stages.judge import judge

CHECKPOINT, QUANTIZED = "a" * 64, "b" * 64


def case_of(settings: Settings, directory: Path) -> tuple[Case, Pipeline]:
    """An engine to be judged."""
    store = Store(DirectoryBucket(directory / "bucket"), BlobCache(settings.cache_dir))
    store.ensure_bucket()
    engine = put_engine(store, directory / "engine", stand_in=False)
    stages = (stage("fetch", CHECKPOINT), stage("build", engine))
    case = Case(SPEC, VARIANT, "0" * 40, stages, datetime.now(UTC))
    return case, Pipeline(settings, store, say=lambda _line: None)


def judged(settings: Settings, directory: Path, served: str, ratio: float) -> VariantRelease:
    """The entry of an engine that is this many times as fast as vLLM on the tree `served`."""
    case, pipeline = case_of(settings, directory)
    made = measurements_of(asked_of(case.engine, served), ratio=ratio)
    return judge(pipeline, case, baseline(), made).entry


@pytest.mark.parametrize("served", [CHECKPOINT, QUANTIZED])
def test_what_stays_on_vllm_is_served_from_the_tree_that_its_command_is_for(
    settings: Settings, tmp_path: Path, served: str
) -> None:
    entry = judged(settings, tmp_path, served, ratio=0.7)
    assert entry.verdict == "stay-on-vllm"
    assert (entry.tree, entry.serve) == (served, entry.vllm_serve)
    assert (entry.vllm_tree, entry.checkpoint_tree) == (served, CHECKPOINT)
    assert {served, CHECKPOINT} <= set(entry.trees), "both are fetched, verified and kept"


@pytest.mark.parametrize(("texts", "served"), [(400, QUANTIZED), (60, CHECKPOINT)])
def test_a_reference_that_is_deployed_was_shown_to_be_accurate(
    settings: Settings, tmp_path: Path, texts: int, served: str
) -> None:
    """One that was not shown to be inaccurate has to be beaten; that is not enough to deploy it."""
    case, pipeline = case_of(settings, tmp_path)
    asked = asked_of(case.engine, CHECKPOINT)
    quantized = asked.references[0].model_copy(update={"name": "vllm fp8", "tree": QUANTIZED})
    asked = asked.model_copy(update={"references": (*asked.references, quantized)})
    made = measurements_of(asked, ratio=0.7)
    assert isinstance(made.measured.speed, SpeedResult)
    points = tuple(
        speed_point(0.7, noise=0.03, pairs=48, concurrency=one.concurrency, reference="vllm fp8")
        for one in made.measured.speed.points
    )
    speed = made.measured.speed.model_copy(update={"points": points, "reference": "vllm fp8"})
    answers = accuracy_result(asked.digest, [0.0] * texts, name="vllm fp8")
    measured = made.measured.model_copy(update={"speed": speed, "references": (answers,)})
    entry = judge(pipeline, case, baseline(), replace(made, measured=measured)).entry
    assert entry.verdict == "stay-on-vllm"
    assert entry.tree == served
    assert entry.vllm_tree == QUANTIZED, "which it was judged against"


def test_next_to_an_engine_vllm_is_named_with_its_own_tree(settings: Settings, tmp_path: Path) -> None:
    entry = judged(settings, tmp_path, QUANTIZED, ratio=1.4)
    assert entry.verdict == "compile"
    assert entry.tree != QUANTIZED
    assert entry.vllm_tree == QUANTIZED
