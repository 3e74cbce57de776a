"""A variant that drafts tokens: planned, listed, fetched, and refused before any weight."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkpoints.repositories import Files, write_repo
from support.judging.judgements import protocol
from support.paths import DATA
from support.servers.hub_faults import FaultyHub, faulty_hub
from support.standin.interface_tables import values

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import Spec, read_spec, resolve_variants
from flows.demo.hub_repo import DEMO_HUB
from flows.text.commands import transcript
from flows.text.plan import plan_lines
from tasks.comparison.placements import ALONE
from tasks.hub import HubAccess
from tasks.plan import PlannedStage, SpecPlan, plan_spec, read_checkpoints
from tasks.runs import Pipeline
from tasks.stages import CHECKPOINT, HELDOUT, Sources, SpecGraph, checkpoint_facts, measure
from tasks.stages.node import DRAFT, DRAFTED

DEMO = DEMO_HUB / "enginery" / "demo-llama"
SPEC = DATA / "specs" / "vllm-e2e.yaml"
SMALL, FOREIGN, PICKLED = "acme/demo-small", "acme/foreign", "acme/pickled"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FaultyHub]:
    """A Hub with the demo's model, and checkpoints that can or cannot draft for it."""
    root = tmp_path / "hub"
    shutil.copytree(
        DEMO, root / "enginery" / "demo-llama", ignore=shutil.ignore_patterns("*.bin", "original", "*.md")
    )
    config = json.loads((DEMO / "config.json").read_text())
    files: Files = {path.name: path.read_bytes() for path in DEMO.glob("model*")}
    write_repo(root / SMALL, files | {"config.json": config}, {})
    write_repo(root / FOREIGN, files | {"config.json": config | {"vocab_size": 7}}, {})
    write_repo(root / PICKLED, {"config.json": config, "pytorch_model.bin": b"pickle"}, {})
    with faulty_hub(root) as running:
        yield running


def spec_of(hub: FaultyHub, repo: str | None, target: str = "cpu-x86-64-v3", kind: str = "vllm") -> Spec:
    """The demo with one variant, which drafts with that checkpoint, or from the text."""
    method = "ngram" if repo is None else "draft_model"
    draft = f", draft: {{repo: {repo}, revision: {hub.repos['model', repo].commit}}}" if repo else ""
    head, rest = SPEC.read_text().split("  - {name: cpu,")
    rest = rest[rest.index("\nworkload:") :]
    engine = "" if kind == "vllm" else f", engine: {{kind: {kind}, options: null}}"
    speculative = f"speculative: {{method: {method}, tokens: 3{draft}}}"
    text = f"{head}  - {{name: fast, target: {target}, {speculative}{engine}}}\n{rest}"
    commit = hub.repos["model", "enginery/demo-llama"].commit
    text = text.replace("e3cd0e8a1b9dd3ef61851d4ef03fe7e3fb995bb6", commit)
    return read_spec(text, SPEC)


def planned(spec: Spec, hub: FaultyHub, store: Store, tmp_path: Path) -> SpecPlan:
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    return plan_spec(pipeline, spec, access_to(hub, tmp_path), resolve_variants(spec), commands=True)


def access_to(hub: FaultyHub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf", timeout_s=5.0)


def stages(plan: SpecPlan) -> dict[str, PlannedStage]:
    return {f"{one.stage} {one.variant}".strip(): one for one in plan.stages}


@pytest.mark.parametrize(("kind", "target"), [("vllm", "cpu-x86-64-v3"), ("trtllm-torch", "h100-sxm")])
def test_plan_and_dry_run_show_it(
    hub: FaultyHub, store: Store, tmp_path: Path, kind: str, target: str
) -> None:
    plan = planned(spec_of(hub, SMALL, target, kind), hub, store, tmp_path)
    (variant,) = plan.variants
    assert variant.problems == ()
    made, commit = stages(plan), hub.repos["model", SMALL].commit
    assert list(made)[3:7] == ["fetch draft-fast", "quantize fast", "fetch drafted-fast", "build fast"]
    fetch, build, measure = (made[f"{name}fast"].work for name in ("fetch draft-", "build ", "measure "))
    assert fetch is not None
    assert build is not None
    assert measure is not None
    assert fetch.params == {"repo": SMALL, "revision": commit}
    assert build.inputs == {"checkpoint": "<tree:drafted-fast>"}
    assert build.params["speculative"]["draft"] == {"repo": SMALL, "revision": commit}
    (drafting,) = [one for one in measure.commands if one.what == "server of vllm draft_model (declared)"]
    assert values(list(drafting.argv))["--speculative-config.model"] == "<tree:drafted-fast>/draft"
    text = "\n".join([*plan_lines([plan]), *transcript(plan)])
    assert f"drafts tokens: draft_model, 3 tokens, draft {SMALL}@{commit}" in text
    assert "reference vllm draft_model (declared): vLLM that drafts tokens as the engine does" in text
    if target != "cpu-x86-64-v3":
        assert variant.memory is not None
        held = {line.what: line.bytes for line in variant.memory.lines}
        assert held["KV cache of what drafts"] == held["KV cache (bfloat16)"]


def test_it_is_fetched_and_listed_below_the_checkpoint(hub: FaultyHub, store: Store, tmp_path: Path) -> None:
    spec, access = spec_of(hub, SMALL), access_to(hub, tmp_path)
    graph = SpecGraph(spec, resolve_variants(spec))
    (nodes,) = graph.variants
    assert nodes.draft is not None
    (added,) = nodes.drafted
    pipeline, sources = Pipeline(Settings(), store, say=lambda _line: None), Sources(spec, access)
    trees = {
        "checkpoint": graph.checkpoint.run(pipeline, sources).tree,
        "draft": nodes.draft.run(pipeline, sources).tree,
    }
    whole = added.run(pipeline, trees).tree
    listed = {file.path: file.sha256 for file in store.get_listing(whole).files}
    own = {file.path: file.sha256 for file in store.get_listing(trees["checkpoint"]).files}
    below = {f"draft/{file.path}": file.sha256 for file in store.get_listing(trees["draft"]).files}
    shards = {f"draft/{path.name}" for path in DEMO.glob("model*")}
    assert below.keys() == {"draft/config.json", *shards}
    assert listed == own | below
    store.materialize(whole, tmp_path / "whole")
    assert all((tmp_path / "whole" / path).is_file() for path in shards)
    plan = stages(planned(spec, hub, store, tmp_path))
    assert [
        (plan[f"fetch {name}"].state, plan[f"fetch {name}"].tree) for name in ("draft-fast", "drafted-fast")
    ] == [
        ("hit", trees["draft"]),
        ("hit", whole),
    ]
    assert plan["build fast"].state == "miss"


def test_n_grams_need_no_further_checkpoint(hub: FaultyHub, store: Store, tmp_path: Path) -> None:
    plan = planned(spec_of(hub, None), hub, store, tmp_path)
    assert plan.variants[0].problems == ()
    assert not [name for name in stages(plan) if "draft" in name]
    build = stages(plan)["build fast"].work
    assert build is not None
    assert build.inputs == {"checkpoint": "<tree:checkpoint>"}


@pytest.mark.parametrize(
    ("repo", "words"), [(FOREIGN, "a vocabulary of 7 in acme/foreign@"), (PICKLED, "only pickled weights")]
)
def test_what_cannot_draft_is_refused_before_any_weight_is_fetched(
    hub: FaultyHub, store: Store, tmp_path: Path, repo: str, words: str
) -> None:
    plan = planned(spec_of(hub, repo), hub, store, tmp_path)
    found = [str(one) for one in plan.variants[0].problems if "speculative.draft" in one.field]
    assert len(found) == 1
    assert words in found[0]
    assert not list((tmp_path / "hf").rglob("*.safetensors"))


def test_a_hub_that_lacks_it_is_said(hub: FaultyHub, store: Store, tmp_path: Path) -> None:
    spec = spec_of(hub, SMALL)
    shutil.rmtree(tmp_path / "hub" / SMALL)
    del hub.repos["model", SMALL]
    (variant,) = planned(spec, hub, store, tmp_path).variants
    assert any("speculative.draft: not judged until the Hub answers" in one for one in variant.warnings)
    assert variant.memory is None


def test_a_measurement_counts_the_memory_of_a_draft_as_pre_flight_did(
    hub: FaultyHub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise sides would be placed on one GPU that together hold more than it has."""
    spec = spec_of(hub, SMALL, "h100-sxm")
    (variant,) = resolve_variants(spec)
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    sources = Sources(spec, access_to(hub, tmp_path))
    graph = SpecGraph(spec, (variant,))
    (nodes,) = graph.variants
    assert nodes.draft is not None
    checkpoint = graph.checkpoint.run(pipeline, sources).tree
    drafted = nodes.drafted[-1].run(
        pipeline, {CHECKPOINT: checkpoint, DRAFT: nodes.draft.run(pipeline, sources).tree}
    )
    base = checkpoint_facts(pipeline, spec, spec.checkpoint.revision, sources.access)
    known = read_checkpoints(pipeline, spec, variant, base, sources.access)
    estimated = known.served_memory(spec, variant)
    assert estimated is not None
    assert estimated != known.model_copy(update={"draft": None}).served_memory(spec, variant)

    monkeypatch.setattr(measure, "placement_here", lambda *_: ALONE)
    monkeypatch.setattr(measure, "texts_in", lambda *_: ())
    monkeypatch.setattr(measure, "_items_in", lambda *_: {})
    trees = {CHECKPOINT: checkpoint, DRAFTED: drafted.tree, HELDOUT: "unread"}
    made = measure.comparison_of(pipeline, spec, variant, protocol(), trees)
    assert made.served == estimated
