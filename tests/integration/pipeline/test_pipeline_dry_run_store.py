"""A dry run beside a store: digests of what it holds, and a store that is away is no obstacle."""

from pathlib import Path

import pytest
from support.seaweed import free_ports

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import load_spec
from flows.cli.dry_run import dry_run_here
from tasks.plan import DryInput, DryRun
from tasks.runs import Made, Pipeline, run_stage
from tasks.stages import describe_checkpoint

SPEC = load_spec(Path(__file__).parents[2] / "data" / "e2e.yaml")


def checkpoint_of(plan: DryRun) -> DryInput:
    (baseline,) = [one for one in plan.stages if one.stage == "baseline"]
    return baseline.inputs[0]


def test_a_tree_in_the_store_is_named_by_its_digest(settings: Settings, store: Store) -> None:
    def fetch(output: Path, _scratch: Path) -> Made:
        for name in ("config.json", "tokenizer.json"):
            (output / name).write_text('{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []}')
        return Made()

    pipeline = Pipeline(settings, store, say=lambda _line: None)
    fetched = run_stage(pipeline, describe_checkpoint(SPEC, SPEC.checkpoint.revision), fetch)
    read = checkpoint_of(dry_run_here(SPEC, None, Settings(), say=print))
    assert (read.tree, read.known_after) == (fetched.tree, None)


def test_a_store_that_does_not_answer_is_no_obstacle(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    read = checkpoint_of(dry_run_here(SPEC, None, settings, say=print))
    assert (read.tree, read.known_after) == (None, "fetch checkpoint")
