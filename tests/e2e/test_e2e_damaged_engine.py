"""An engine of damaged weights is built, served and measured like any other, and rejected."""

import os
import subprocess
from pathlib import Path

import pytest
from support.mainjob import SPEC, Finished

from artifacts.settings import Settings
from artifacts.store import open_store
from engine_specs.load import read_spec
from engine_specs.resolve import resolve_variants
from tasks.pipeline import Pipeline
from tasks.stage import StageResult
from tasks.stages.baseline import measure_baseline
from tasks.stages.build import build_engine
from tasks.stages.judge import Case, judge
from tasks.stages.measure import measure, protocol_for
from tasks.stages.publish import Withheld, publish
from tasks.toolchains import ensure

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(900)]
DAMAGE = Path(__file__).parents[1] / "support" / "damage.py"


def stage_of(finished: Finished, variant: str) -> StageResult:
    found = next(one for one in finished.summary["stages"] if one["variant"] == variant)
    return StageResult.model_validate(found)


def test_perturbed_weights_are_rejected_and_not_published(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in finished.job.env.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    store = open_store(settings)
    said: list[str] = []
    pipeline = Pipeline(settings, store, say=said.append)
    text = SPEC.read_text().replace("name: e2e", "name: damaged").replace("int8_weight_only", "none")
    spec = read_spec(text, SPEC)
    (variant,) = resolve_variants(spec)
    checkpoint, heldout = stage_of(finished, "checkpoint"), stage_of(finished, "heldout")

    store.materialize(checkpoint.tree, tmp_path / "whole")
    toolchain = ensure("aot-cpu", settings, on_progress=said.append)
    subprocess.run(
        [toolchain.python, DAMAGE, tmp_path / "whole", tmp_path / "damaged", "--noise", "0.5"],
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    damaged = store.put_tree(tmp_path / "damaged").digest

    engine = build_engine(pipeline, spec.name, variant, damaged)
    protocol = protocol_for(
        store, spec, variant, engine=engine.tree, checkpoint=checkpoint.tree, heldout=heldout.tree
    )
    baseline = measure_baseline(pipeline, spec, variant, checkpoint.tree)
    measurements = measure(pipeline, spec, variant, protocol, heldout.tree)
    commit = finished.summary["commit"]
    judged = judge(pipeline, Case(spec, variant, commit, (checkpoint, engine)), baseline, measurements)

    assert (judged.verdict.verdict, judged.verdict.row) == ("rejected", "accuracy-fails"), judged.verdict
    assert judged.entry.tree is None
    assert judged.entry.report is not None
    outcome = publish(pipeline, spec, commit, [judged.entry])
    assert isinstance(outcome, Withheld)
    assert "rejected" in outcome.reason
