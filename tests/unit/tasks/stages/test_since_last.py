"""What a verdict says of the time since the last release with an engine: which side changed, if any."""

from pathlib import Path

import pytest
from support.engines.stand_ins import put_engine
from support.judging import evidence as planted
from support.paths import E2E_SPEC
from support.stores.directory_bucket import DirectoryBucket
from support.stores.releases import published

from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.cache import BlobCache
from engine_specs.spec import read_spec, resolve_variants
from tasks.evidence import Evidence, keep_evidence, last_accepted
from tasks.runs import Pipeline
from tasks.stages.judge import Case, since_last

SPEC = read_spec(E2E_SPEC.read_text(), E2E_SPEC)
(VARIANT,) = resolve_variants(SPEC)
CASE = Case(SPEC, VARIANT, "0" * 40, (), planted.BEGIN)


@pytest.fixture
def pipeline(settings: Settings, tmp_path: Path) -> Pipeline:
    store = Store(DirectoryBucket(tmp_path / "bucket"), BlobCache(settings.cache_dir))
    store.ensure_bucket()
    return Pipeline(settings, store, say=lambda _: None)


def release(pipeline: Pipeline, evidence: Evidence, directory: Path) -> None:
    store = pipeline.store
    tree = put_engine(store, directory, stand_in=False)
    entry = planted.entry_of(evidence, tree, evidence=keep_evidence(store, evidence))
    published(store, entry, name=SPEC.name, content=directory.name)


def test_the_first_verdict_has_nothing_to_be_compared_with(pipeline: Pipeline) -> None:
    assert since_last(pipeline, CASE, planted.engine()) == ""


def test_damaged_evidence_of_the_last_release_keeps_nothing_from_being_judged(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    release(pipeline, planted.engine(), tmp_path / "first")
    found = last_accepted(pipeline.store, SPEC.name, VARIANT.name)
    assert found is not None
    (tmp_path / "bucket" / "objects" / f"trees/sha256/{found[1].evidence}").write_bytes(b"{}")
    said = since_last(pipeline, CASE, planted.engine(rate=400.0))
    assert said.startswith("Not comparable with e2e@1.4.0: its evidence cannot be read (the listing of tree ")


def test_later_ones_are_compared_with_the_newest_release_that_has_an_engine(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    first, slower = planted.engine(), planted.engine(rate=400.0)
    release(pipeline, slower, tmp_path / "first")
    release(pipeline, first, tmp_path / "second")
    release(pipeline, planted.without_engine(), tmp_path / "third")
    said = since_last(pipeline, CASE, planted.engine(2.0 / 1.15, rate=575.0))
    assert said.startswith("Since e2e@1.4.1, the reference became 15.0% faster ")
    assert since_last(pipeline, CASE, first) == "", "it is the same measurement"
