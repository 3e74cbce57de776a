"""A stand-in's engine reaches neither the measuring, nor the judge, nor publication."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines.stand_ins import put_engine
from support.judging.judgements import capacity, measured, protocol, speed_point
from support.paths import E2E_SPEC

from artifacts.errors import NotFound, StandInRefused
from artifacts.hosts import HostRequirements, ServeCommand
from artifacts.releases import JudgedOn, VariantRelease, list_releases, newest_verdict
from artifacts.settings import Settings
from artifacts.store import Store, blob_key, new_measurement
from engine_specs.spec import load_spec, resolve_variants
from tasks.judging import JudgingProtocol, LoadResult
from tasks.judging.decide import Go
from tasks.judging.gates import compare_months
from tasks.judging.results import LoadPoint
from tasks.runs import Pipeline, StageResult
from tasks.stages import Case
from tasks.stages.baseline import Baseline
from tasks.stages.judge import judge
from tasks.stages.measure import Measurements, measure, protocol_for
from tasks.stages.publish import publish
from tasks.stages.verdicts import verdict_key

SPEC = load_spec(E2E_SPEC)
(VARIANT,) = resolve_variants(SPEC)
CHECKPOINT, HELDOUT = "c" * 64, "d" * 64
SERVE = ServeCommand(toolchain="aot-serve-cpu", argv=("{python}",), model="model")


@pytest.fixture
def pipeline(settings: Settings, store: Store) -> Pipeline:
    return Pipeline(settings, store, say=lambda _line: None)


@pytest.fixture
def engine(store: Store, tmp_path: Path) -> str:
    return put_engine(store, tmp_path / "engine")


def asked_of(engine: str) -> JudgingProtocol:
    """A protocol made by hand, as if `protocol_for` had not been asked."""
    made = protocol(samples=400, margin=0.02)
    return made.model_copy(update={"engine": made.engine.model_copy(update={"tree": engine})})


def stage(name: str, tree: str) -> StageResult:
    return StageResult(
        stage=name,
        variant="v",
        fingerprint="f" * 64,
        tree=tree,
        metrics={},
        tools={},
        reused=False,
        reason="",
        duration_s=1.0,
        made_in_s=1.0,
    )


def baseline() -> Baseline:
    plan = protocol()
    point = speed_point(1.0, noise=0.05, pairs=3)
    rounds = tuple(one for one in point.rounds if one.side == "vllm")
    load = LoadResult(
        side=plan.references[0],
        protocol_digest="0" * 64,
        operating_point=1,
        points=(LoadPoint(summary=point.reference, rounds=rounds),),
    )
    hoped = compare_months(
        SPEC.economics,
        plan.workload,
        reference=capacity(500.0),
        engine=capacity(1000.0),
        build_device_hours=0.0,
    )
    kept = new_measurement("baseline", {}, load.model_dump(mode="json"), conclusive=True, device_s=360.0)
    return Baseline(load, Go("try it", hoped), kept, "measured")


def measurements_of(plan: JudgingProtocol) -> Measurements:
    made = measured(plan.digest, [0.0] * 400, ratio=1.4)
    kept = new_measurement("judged", {}, made.model_dump(mode="json"), conclusive=True, device_s=720.0)
    return Measurements(plan, made, kept, "measured")


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
        checkpoint_tree=CHECKPOINT,
    )


def test_there_is_no_protocol_for_it(store: Store, engine: str) -> None:
    with pytest.raises(StandInRefused, match="was to be measured"):
        protocol_for(store, SPEC, VARIANT, engine=engine, checkpoint=CHECKPOINT, heldout=HELDOUT)


def test_it_is_not_measured_by_a_protocol_made_elsewhere(pipeline: Pipeline, engine: str) -> None:
    with pytest.raises(StandInRefused, match="was to be measured"):
        measure(pipeline, SPEC, VARIANT, asked_of(engine), {"heldout": HELDOUT})


def test_it_is_not_judged_by_measurements_made_elsewhere(pipeline: Pipeline, engine: str) -> None:
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", engine)))
    with pytest.raises(StandInRefused, match="was to be judged"):
        judge(pipeline, case, baseline(), measurements_of(asked_of(engine)))


def test_it_is_not_judged_under_the_name_of_a_real_engine(
    pipeline: Pipeline, store: Store, engine: str, tmp_path: Path
) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", real)))
    with pytest.raises(StandInRefused, match=engine):
        judge(pipeline, case, baseline(), measurements_of(asked_of(engine)))


def test_a_real_engine_is_judged_and_its_verdict_kept(
    pipeline: Pipeline, store: Store, tmp_path: Path
) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", real)))
    judged = judge(pipeline, case, baseline(), measurements_of(asked_of(real)))
    assert judged.verdict.verdict == "compile"
    assert judged.entry.tree == real
    kept = newest_verdict(store, verdict_key(SPEC, VARIANT, "0" * 40))
    assert kept is not None
    assert kept.entry == judged.entry


def test_the_time_of_measuring_is_paid_for_as_well(pipeline: Pipeline, store: Store, tmp_path: Path) -> None:
    real = put_engine(store, tmp_path / "real", stand_in=False)
    case = Case(SPEC, VARIANT, "0" * 40, (stage("fetch", CHECKPOINT), stage("build", real)))
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
