"""What the report of a judgement says of the run, and of the last release in the store."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.engines.stand_ins import put_engine
from support.judging.cases import SPEC, VARIANT, asked_of, baseline, measurements_of, stage

from artifacts.releases import Release
from artifacts.settings import Settings
from artifacts.store import Store
from tasks.runs import Pipeline
from tasks.stages import Case, Judged, Published
from tasks.stages.judge import judge
from tasks.stages.publish import publish

COMMIT = "0" * 40


@pytest.fixture
def pipeline(settings: Settings, store: Store) -> Pipeline:
    return Pipeline(settings, store, say=lambda _line: None)


@pytest.fixture
def case(store: Store, tmp_path: Path) -> Case:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    checkpoint = store.put_tree(tmp_path / "checkpoint").digest
    engine = put_engine(store, tmp_path / "engine", stand_in=False)
    stages = (stage("fetch", checkpoint), stage("build", engine))
    return Case(SPEC, VARIANT, COMMIT, stages, datetime.now(UTC))


def judged(pipeline: Pipeline, case: Case, ratio: float) -> Judged:
    return judge(
        pipeline, case, baseline(), measurements_of(asked_of(case.engine, case.checkpoint), ratio=ratio)
    )


def published(pipeline: Pipeline, one: Judged) -> Release:
    outcome = publish(pipeline, SPEC, COMMIT, [one.entry])
    assert isinstance(outcome, Published)
    return outcome.release


def twin(store: Store, one: Judged) -> dict[str, Any]:
    assert one.entry.report is not None
    return store.read_json(one.entry.report, "report.json")


def page(store: Store, one: Judged) -> str:
    assert one.entry.report is not None
    return store.read_file(one.entry.report, "report.html").decode()


def test_a_report_compares_with_the_last_release_that_other_measurements_decided(
    pipeline: Pipeline, store: Store, case: Case
) -> None:
    first = judged(pipeline, case, 1.4)
    assert twin(store, first)["last_release"] is None
    assert "Since the last release" not in page(store, first)
    release = published(pipeline, first)

    same = measurements_of(asked_of(case.engine, case.checkpoint))
    again = judge(pipeline, case, baseline(), same)
    assert twin(store, again)["last_release"]["name"] == f"{release.name}@{release.version}"
    newer = published(pipeline, again)
    assert newer.version != release.version

    third = judged(pipeline, case, 2.8)
    assert twin(store, third)["last_release"]["name"] == f"{newer.name}@{newer.version}"
    assert "this one is better in speed: goodput per device." in page(store, third)


def test_a_judgement_is_not_compared_with_its_own_release(
    pipeline: Pipeline, store: Store, case: Case
) -> None:
    base, measured = baseline(), measurements_of(asked_of(case.engine, case.checkpoint))
    published(pipeline, judge(pipeline, case, base, measured))
    assert twin(store, judge(pipeline, case, base, measured))["last_release"] is None


def test_a_last_report_without_figures_is_named_and_keeps_nothing_from_being_judged(
    pipeline: Pipeline, store: Store, case: Case, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.html").write_text("<p>of an older version</p>")
    old = judged(pipeline, case, 1.4).entry.model_copy(
        update={"report": store.put_tree(tmp_path / "old").digest}
    )
    outcome = publish(pipeline, SPEC, COMMIT, [old])
    assert isinstance(outcome, Published)
    now = judged(pipeline, case, 1.4)
    assert now.verdict.verdict == "compile"
    assert f"@{outcome.release.version}" in page(store, now)
    assert "its figures cannot be read: " in page(store, now)


def test_the_stages_include_what_was_measured_with_its_time_and_whether_it_was_reused(
    pipeline: Pipeline, case: Case
) -> None:
    base, measured = baseline(), measurements_of(asked_of(case.engine, case.checkpoint))
    for begun, reused in ((case.begun_at, False), (datetime.now(UTC) + timedelta(hours=1), True)):
        run = Case(case.spec, case.variant, case.commit, case.stages, begun)
        result = judge(pipeline, run, base, measured).result
        assert result is not None
        assert [one.stage.partition(" ")[0] for one in result.subject.stages] == [
            "fetch",
            "baseline",
            "build",
            "measure",
        ]
        _, first, _, second = result.subject.stages
        assert (first.duration_s, second.duration_s) == (360.0, 720.0)
        assert (first.reused, second.reused) == (reused, reused)
        assert first.fingerprint == base.measurement.key
