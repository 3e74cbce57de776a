"""A dry run with a store: digests of what it holds, and a store that is away is no obstacle."""

from pathlib import Path

import pytest
from support.paths import E2E_SPEC
from support.servers.seaweed import free_ports

from artifacts.settings import Settings
from artifacts.store import Store, open_store
from engine_specs.spec import load_spec, resolve_variants
from flows.text.commands import transcript
from tasks.hub import HubAccess
from tasks.plan import SpecPlan, plan_spec
from tasks.runs import Made, Pipeline, run_stage
from tasks.stages import checkpoint_call

SPEC = load_spec(E2E_SPEC)


NO_HUB = "http://127.0.0.1:9"


def planned(store: Store, cache_dir: Path) -> SpecPlan:
    access = HubAccess(endpoint=NO_HUB, cache_dir=cache_dir, timeout_s=2.0)
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    return plan_spec(pipeline, SPEC, access, resolve_variants(SPEC), commands=True)


def reads_of(plan: SpecPlan) -> set[str]:
    """What the baseline reads, in the transcript."""
    stages = "\n".join(transcript(plan)).split("### ")
    (baseline,) = [text for text in stages if text.startswith("baseline ")]
    return {line for line in baseline.splitlines() if line.startswith("# reads ")}


def test_a_tree_in_the_store_is_named_by_its_digest(settings: Settings, store: Store, tmp_path: Path) -> None:
    def fetch(output: Path, _scratch: Path) -> Made:
        for name in ("config.json", "tokenizer.json"):
            (output / name).write_text('{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []}')
        return Made()

    pipeline = Pipeline(settings, store, say=lambda _line: None)
    fetched = run_stage(pipeline, checkpoint_call(SPEC, SPEC.checkpoint.revision), fetch)
    assert reads_of(planned(store, tmp_path)) == {
        f"# reads <tree:checkpoint>: tree {fetched.tree}",
        "# reads <tree:heldout>: known after fetch heldout",
    }


def test_a_store_that_does_not_answer_is_no_obstacle(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    plan = planned(open_store(settings), tmp_path)
    assert reads_of(plan) == {
        "# reads <tree:checkpoint>: known after fetch checkpoint",
        "# reads <tree:heldout>: known after fetch heldout",
    }
