"""A variant that ends after its baseline: a plan knows it from the measurement that it would reuse."""

import re
from pathlib import Path

import pytest
from support.paths import E2E_SPEC
from support.plans.planning import installed, keep_everything

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import Spec, list_specs, load_spec, read_spec, resolve_variants
from tasks.hub import HubAccess
from tasks.plan import SpecPlan, plan_spec
from tasks.runs import Pipeline
from tasks.stages import SpecGraph

WHEN_JUSTIFIED = E2E_SPEC.read_text().replace("compile: always", "compile: when-justified")
IDENTITY = "a" * 64


def planned(pipeline: Pipeline, spec: Spec, access: HubAccess) -> SpecPlan:
    return plan_spec(pipeline, spec, access, resolve_variants(spec), installed, commands=True)


@pytest.mark.parametrize(("compile_mode", "ends"), [("when-justified", True), ("always", False)])
def test_a_plan_ends_a_variant_where_its_baseline_does(
    settings: Settings, store: Store, tmp_path: Path, compile_mode: str, ends: bool
) -> None:
    spec = read_spec(WHEN_JUSTIFIED.replace("when-justified", compile_mode), E2E_SPEC)
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    access = HubAccess(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "hf", timeout_s=2.0)
    keep_everything(pipeline, spec, access, until="baseline")
    stages = {stage.stage: stage for stage in planned(pipeline, spec, access).stages}
    assert stages["baseline"].state == "hit"
    later = [stages[name] for name in ("quantize", "build", "measure")]
    if ends:
        assert {stage.state for stage in later} == {"left-out"}
        assert all("Not even 3.7 times its speed" in stage.reasons[0] for stage in later)
        assert all(stage.work is None for stage in later)
    else:
        assert "left-out" not in {stage.state for stage in later}
        assert all(stage.work and stage.work.commands for stage in later)
    assert (stages["judge"].state, stages["publish"].state) == ("always", "always")


@pytest.mark.parametrize(("compile_mode", "state"), [("when-justified", "miss"), ("always", "hit")])
def test_a_baseline_without_what_decides_under_todays_terms_is_measured_again(
    settings: Settings, store: Store, tmp_path: Path, compile_mode: str, state: str
) -> None:
    """It was not asked in open loop, as under the terms of that day an engine was worth trying anyway."""
    spec = read_spec(WHEN_JUSTIFIED.replace("when-justified", compile_mode), E2E_SPEC)
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    access = HubAccess(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "hf", timeout_s=2.0)
    keep_everything(pipeline, spec, access, until="baseline", in_open_loop=False)
    stages = {stage.stage: stage for stage in planned(pipeline, spec, access).stages}
    assert stages["baseline"].state == state
    assert any("does not have vLLM in open loop" in one for one in stages["baseline"].reasons) == (
        state == "miss"
    )
    assert "left-out" not in {stages[name].state for name in ("quantize", "build", "measure")}


@pytest.mark.parametrize(("minutes", "state"), [(1, "hit"), (60, "miss")])
def test_a_baseline_that_its_budget_cut_short_is_measured_again_within_a_larger_one(
    settings: Settings, store: Store, tmp_path: Path, minutes: int, state: str
) -> None:
    """The budget did not allow any request in open loop, so it is not known whether vLLM suffices."""
    small = read_spec(budget_of(1), E2E_SPEC)
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    access = HubAccess(endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "hf", timeout_s=2.0)
    keep_everything(pipeline, small, access, until="baseline", requests=0)
    stages = {
        one.stage: one for one in planned(pipeline, read_spec(budget_of(minutes), E2E_SPEC), access).stages
    }
    assert stages["baseline"].state == state
    assert any("within a budget of 1 min" in one for one in stages["baseline"].reasons)


def budget_of(minutes: int) -> str:
    return re.sub(r"budget_minutes: [0-9.]+", f"budget_minutes: {minutes}", WHEN_JUSTIFIED)


@pytest.mark.parametrize("name", [path.stem for path in list_specs()])
def test_a_title_names_one_stage_and_every_input_is_made_before(name: str) -> None:
    spec, made = load_spec(name), list[str]()
    for node in SpecGraph(spec, resolve_variants(spec)):
        assert {need.node.title for need in node.needs} <= set(made)
        assert node.title not in made
        made.append(node.title)
