"""What a night leaves as it is: what this host judged by the present words of the spec, and is released."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.stores.hosts import COMMIT, FILE, SPEC, Host, variant_named

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import Spec, read_spec
from flows.nightly import unchanged
from tasks.plan import SpecPlan
from tasks.plan.checkpoint import PlannedCheckpoint
from tasks.plan.records import PlannedStage, State


@pytest.fixture
def host(settings: Settings, store: Store, tmp_path: Path) -> Callable[[str], Host]:
    return lambda name: Host(settings, store, tmp_path / name)


def stage(variant: str, state: State, fingerprint: str = "f" * 64) -> PlannedStage:
    return PlannedStage(variant=variant, stage="build", state=state, fingerprint=fingerprint, reasons=())


def plan(*stages: PlannedStage) -> SpecPlan:
    return SpecPlan(
        spec=SPEC.name,
        version=SPEC.version,
        checkpoint=PlannedCheckpoint(
            repo=SPEC.checkpoint.repo, commit=COMMIT, commit_reason="pinned", facts_reason="", problems=()
        ),
        variants=(),
        stages=stages,
    )


def skipped(store: Store, name: str, *stages: PlannedStage, spec: Spec = SPEC) -> str | None:
    return unchanged(store, spec, [variant_named(spec, name)], plan(*stages))


def test_what_other_hosts_would_build_is_theirs_to_find_out(
    host: Callable[[str], Host], store: Store
) -> None:
    h100 = host("h100")
    h100.publish(h100.judge("h100"))
    mine, theirs = stage("h100", "hit"), (stage("l40s", "unknown"), stage("calibration-l40s", "miss"))
    assert "unchanged" in (skipped(store, "h100", mine, *theirs) or "")
    assert skipped(store, "h100", stage("h100", "miss"), *theirs) is None


def test_what_this_host_never_judged_is_built(host: Callable[[str], Host], store: Store) -> None:
    h100 = host("h100")
    h100.publish(h100.judge("h100"))
    assert skipped(store, "l40s", stage("l40s", "hit")) is None


def test_a_verdict_that_no_release_holds_is_published(host: Callable[[str], Host], store: Store) -> None:
    h100, l40s = host("h100"), host("l40s")
    h100.publish(h100.judge("h100"))
    l40s.judge("l40s")
    assert skipped(store, "l40s", stage("l40s", "hit")) is None


def test_another_price_asks_for_another_verdict(host: Callable[[str], Host], store: Store) -> None:
    h100 = host("h100")
    h100.publish(h100.judge("h100"))
    text = FILE.read_text()
    assert "gpu_hour_usd: " in text
    dearer = read_spec(text.replace("gpu_hour_usd: ", "gpu_hour_usd: 1"), FILE)
    assert skipped(store, "h100", stage("h100", "hit"), spec=dearer) is None


def test_an_engine_that_would_be_another_one_is_built(host: Callable[[str], Host], store: Store) -> None:
    h100 = host("h100")
    h100.publish(h100.judge("h100"))
    assert skipped(store, "h100", stage("h100", "hit", "0" * 64)) is None
