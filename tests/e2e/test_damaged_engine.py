"""An engine whose weights were damaged is served and measured like any other, and rejected."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.programs.main_job import SPEC, Finished

from artifacts.settings import Settings
from artifacts.store import open_store
from engine_specs.spec import read_spec, resolve_variants
from tasks.runs import Pipeline, StageResult
from tasks.selftest.noisy_weights import damage_engine
from tasks.stages import Case, SpecGraph, Withheld
from tasks.stages.judge import judge
from tasks.stages.measure import measure, protocol_for
from tasks.stages.publish import publish

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(900)]


def stages_of(finished: Finished) -> dict[str, StageResult]:
    made = [StageResult.model_validate(one) for one in finished.summary["stages"]]
    return {one.variant if one.stage == "fetch" else one.stage: one for one in made}


def test_perturbed_weights_are_rejected_and_not_published(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in finished.job.env.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    store = open_store(settings)
    said: list[str] = []
    pipeline = Pipeline(settings, store, say=said.append)
    # Measured under the name of the main job, whose baseline is taken over; judged under one of its own.
    spec = read_spec(SPEC.read_text(), SPEC)
    damaged = read_spec(SPEC.read_text().replace("name: e2e", "name: damaged"), SPEC)
    (variant,) = resolve_variants(spec)
    made = stages_of(finished)
    checkpoint, heldout, quantized = made["checkpoint"], made["heldout"], made["quantize"]

    store.materialize(made["build"].tree, tmp_path / "whole")
    matrices = damage_engine(tmp_path / "whole", tmp_path / "damaged", noise=0.5)
    assert matrices >= 7 * 4, "four layers of seven matrices each"
    engine = made["build"].model_copy(update={"tree": store.put_tree(tmp_path / "damaged").digest})

    trees = {
        "engine": engine.tree,
        "checkpoint": checkpoint.tree,
        "weights": quantized.tree,
        "heldout": heldout.tree,
    }
    protocol = protocol_for(store, spec, variant, **trees)
    (nodes,) = SpecGraph(spec, (variant,)).variants
    baseline = nodes.baseline.run(pipeline, {"checkpoint": checkpoint.tree, "heldout": heldout.tree})
    assert any(line.startswith("baseline: reused") for line in said), said
    measurements = measure(pipeline, spec, variant, protocol, trees)
    cache_of = {one.side: one.cache for one in measurements.measured.conditions.ran_with}
    assert cache_of.keys() == {one.name for one in protocol.references}
    assert all("block_size" in cache for cache in cache_of.values()), cache_of
    commit = finished.summary["commit"]
    case = Case(damaged, variant, commit, (checkpoint, quantized, engine), begun_at=datetime.now(UTC))
    judged = judge(pipeline, case, baseline, measurements)

    assert (judged.verdict.verdict, judged.verdict.row) == ("rejected", "accuracy-fails"), judged.verdict
    assert judged.entry.tree is None
    assert judged.entry.report is not None
    outcome = publish(pipeline, damaged, commit, [judged.entry])
    assert isinstance(outcome, Withheld)
    assert "rejected" in outcome.reason
