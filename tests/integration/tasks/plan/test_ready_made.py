"""A ready-made quantized checkpoint of the Hub: planned, listed, fetched, and refused before any weight."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkpoints.ready_made import int8_files
from support.checkpoints.repositories import write_repo
from support.plans.ready_made import access_to, planned, spec_of
from support.servers.hub_faults import FaultyHub, faulty_hub

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import resolve_variants
from flows.demo.hub_repo import DEMO_HUB
from flows.text.commands import transcript
from flows.text.plan import plan_lines
from tasks.plan import PlannedStage, SpecPlan
from tasks.runs import Pipeline
from tasks.stages import Sources, SpecGraph

DEMO = DEMO_HUB / "enginery" / "demo-llama"
INT8 = "acme/demo-int8"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FaultyHub]:
    """A Hub with the demo's model, and the same in INT8."""
    root = tmp_path / "hub"
    ignored = shutil.ignore_patterns("*.bin", "original", "*.md")
    shutil.copytree(DEMO, root / "enginery" / "demo-llama", ignore=ignored)
    files = int8_files(DEMO)
    write_repo(root / INT8, files, {})
    foreign = json.loads(str((DEMO / "tokenizer.json").read_text()))
    foreign["pre_tokenizer"] = None
    write_repo(root / "acme" / "foreign", files | {"tokenizer.json": foreign}, {})
    with faulty_hub(root) as running:
        yield running


def stages(plan: SpecPlan) -> dict[str, PlannedStage]:
    return {f"{one.stage} {one.variant}".strip(): one for one in plan.stages}


def test_it_is_planned_in_place_of_quantizing(hub: FaultyHub, store: Store, tmp_path: Path) -> None:
    spec = spec_of(hub, INT8)
    commit = hub.repos["model", INT8].commit
    plan = planned(spec, hub, store, tmp_path)
    (variant,) = plan.variants
    assert variant.problems == ()
    made = stages(plan)
    assert list(made)[:5] == [
        "fetch checkpoint",
        "fetch heldout",
        "baseline made",
        "fetch ready-made-made",
        "quantize made",
    ]
    assert made["quantize made"].state == "left-out"
    assert made["quantize made"].reasons == (f"{INT8}@{commit[:12]} is quantized, and built as it is",)
    build, fetch = made["build made"].work, made["fetch ready-made-made"].work
    assert build is not None
    assert fetch is not None
    assert build.inputs == {"checkpoint": "<tree:ready-made-made>"}
    assert fetch.params == {"repo": INT8, "revision": commit}
    assert made["measure made"].work is not None
    assert made["measure made"].work.inputs["checkpoint"] == "<tree:checkpoint>"
    assert variant.toolchains.keys() == {"build", "serve", "reference"}
    assert f"recipe ready_made: {INT8}@{commit[:12]}" in "\n".join(plan_lines([plan]))
    assert commit in "\n".join(transcript(plan))
    (server,) = [one for one in build.commands if one.what == "cold start"]
    assert "--quantization" not in server.argv
    assert server.argv[server.argv.index("--kv-cache-dtype") + 1] == "auto"


def test_it_is_fetched_and_then_known_from_the_store(hub: FaultyHub, store: Store, tmp_path: Path) -> None:
    spec, access = spec_of(hub, INT8), access_to(hub, tmp_path)
    (nodes,) = SpecGraph(spec, resolve_variants(spec)).variants
    assert nodes.ready_made is not None
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    fetched = nodes.ready_made.run(pipeline, Sources(spec, access))
    held = {file.path: file.size for file in store.get_listing(fetched.tree).files}
    assert held.keys() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert fetched.metrics["prompts"].keys() == {"tokens added before prompts", "chat template"}
    plan = planned(spec, hub, store, tmp_path)
    again = stages(plan)["fetch ready-made-made"]
    assert (again.state, again.tree) == ("hit", fetched.tree)
    assert plan.variants[0].problems == ()
    assert plan.variants[0].memory is not None
    stored = {line.what: line.bytes for line in plan.variants[0].memory.lines}
    table = stored["embedding, shared with lm_head"] + stored["norms"]
    assert stored["linear weights, ready-made"] == held["model.safetensors"] - table


@pytest.mark.parametrize(
    ("repo", "target", "kind", "words"),
    [
        (INT8, "b200", "vllm", "compressed-tensors W8A8_INT8 in acme/demo-int8@"),
        (INT8, "h100-sxm", "trtllm-torch", "for trtllm-torch on h100-sxm"),
        ("acme/foreign", "cpu-x86-64-v3", "vllm", "another tokenizer.json in acme/foreign@"),
        ("enginery/demo-llama", "cpu-x86-64-v3", "vllm", "whose files do not say that it is quantized"),
    ],
)
def test_what_does_not_work_is_refused_before_any_weight_is_fetched(
    hub: FaultyHub, store: Store, tmp_path: Path, repo: str, target: str, kind: str, words: str
) -> None:
    plan = planned(spec_of(hub, repo, target, kind), hub, store, tmp_path)
    found = [str(one) for one in plan.variants[0].problems if "source" in one.field]
    assert len(found) >= 1
    assert words in found[0]
    assert not list((tmp_path / "hf").rglob("*.safetensors"))


def test_a_hub_that_lacks_it_is_said_and_so_is_one_that_is_away(
    hub: FaultyHub, store: Store, tmp_path: Path
) -> None:
    spec = spec_of(hub, INT8)
    shutil.rmtree(tmp_path / "hub" / INT8)
    del hub.repos["model", INT8]
    plan = planned(spec, hub, store, tmp_path)
    assert any(
        "quantization.source: not judged until the Hub answers" in one for one in plan.variants[0].warnings
    )
    assert plan.variants[0].memory is None
