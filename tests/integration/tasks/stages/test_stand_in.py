"""A stand-in's engine reaches neither the measuring, nor the judge, nor publication."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.engines.stand_ins import put_engine
from support.judging.cases import SPEC, VARIANT, asked_of, baseline, measurements_of, stage

from artifacts.errors import NotFound, StandInRefused
from artifacts.hosts import HostRequirements, ServeCommand
from artifacts.releases import JudgedOn, VariantRelease, list_releases, newest_verdict
from artifacts.settings import Settings
from artifacts.store import Store, blob_key
from tasks.runs import Pipeline
from tasks.stages import Case
from tasks.stages.judge import judge
from tasks.stages.measure import measure, protocol_for
from tasks.stages.publish import publish
from tasks.stages.verdicts import verdict_key

BEGUN = datetime.now(UTC)
CHECKPOINT, HELDOUT = "c" * 64, "d" * 64
SERVE = ServeCommand(toolchain="aot-serve-cpu", argv=("{python}",), model="model")


@pytest.fixture
def pipeline(settings: Settings, store: Store) -> Pipeline:
    return Pipeline(settings, store, say=lambda _line: None)


@pytest.fixture
def engine(store: Store, tmp_path: Path) -> str:
    return put_engine(store, tmp_path / "engine")


def entry(tree: str) -> VariantRelease:
    return VariantRelease(
        name="cpu-int8",
        required=True,
        target="cpu-x86-64-v3",
        verdict="compile",
        reasons=("because",),
        requires=HostRequirements(machine="x86_64"),
        judged_on=JudgedOn(cpu_model="a processor"),
        serve=SERVE,
        tree=tree,
        vllm_serve=SERVE,
        vllm_tree=CHECKPOINT,
        checkpoint_tree=CHECKPOINT,
    )


def test_there_is_no_protocol_for_it(store: Store, engine: str) -> None:
    with pytest.raises(StandInRefused, match="was to be measured"):
        protocol_for(
            store,
            SPEC,
            VARIANT,
            engine=engine,
            checkpoint=CHECKPOINT,
            weights=CHECKPOINT,
            heldout=HELDOUT,
        )


def test_it_is_not_measured_by_a_protocol_made_elsewhere(pipeline: Pipeline, engine: str) -> None:
    with pytest.raises(StandInRefused, match="was to be measured"):
        measure(pipeline, SPEC, VARIANT, asked_of(engine), {"heldout": HELDOUT})


def test_it_is_not_judged_by_measurements_made_elsewhere(pipeline: Pipeline, engine: str) -> None:
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", engine)), BEGUN)
    with pytest.raises(StandInRefused, match="was to be judged"):
        judge(pipeline, case, baseline(), measurements_of(asked_of(engine)))


def test_it_is_not_judged_under_the_name_of_a_real_engine(
    pipeline: Pipeline, store: Store, engine: str, tmp_path: Path
) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", real)), BEGUN)
    with pytest.raises(StandInRefused, match=engine):
        judge(pipeline, case, baseline(), measurements_of(asked_of(engine)))


def test_a_real_engine_is_judged_and_its_verdict_kept(
    pipeline: Pipeline, store: Store, tmp_path: Path
) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", real)), BEGUN)
    judged = judge(pipeline, case, baseline(), measurements_of(asked_of(real)))
    assert judged.verdict.verdict == "compile"
    assert judged.entry.tree == real
    kept = newest_verdict(store, verdict_key(SPEC, VARIANT, "0" * 40))
    assert kept is not None
    assert kept.entry == judged.entry


def test_the_time_of_measuring_is_paid_for_as_well(pipeline: Pipeline, store: Store, tmp_path: Path) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", real)), BEGUN)
    result = judge(pipeline, case, baseline(), measurements_of(asked_of(real))).result
    assert result is not None
    prices, hours = SPEC.economics, (1.0 + 1.0 + 360.0 + 720.0) / 3600
    paid = hours * prices.builds_per_month * prices.gpu_hour_usd
    assert result.outcomes.gates["economics"].build_usd == pytest.approx(paid)


def test_its_entry_is_not_published_and_takes_no_version(
    pipeline: Pipeline, store: Store, engine: str
) -> None:
    with pytest.raises(StandInRefused, match="was to be published"):
        publish(pipeline, SPEC, "0" * 40, [entry(engine)])
    assert list_releases(store, SPEC.name) == ()
    assert list(store.bucket.keys(f"releases/{SPEC.name}/")) == []


def test_an_entry_whose_tree_lost_a_blob_is_not_published_and_takes_no_version(
    pipeline: Pipeline, store: Store, remove: Callable[[str], None], tmp_path: Path
) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    remove(blob_key(store.get_listing(real).files[1].sha256))
    with pytest.raises(NotFound, match=r"rank0\.engine is missing"):
        publish(pipeline, SPEC, "0" * 40, [entry(real)])
    assert list(store.bucket.keys(f"releases/{SPEC.name}/")) == []
