"""From the Hub to an engine tree in the store, through the flow's own tasks; trtllm-build is a STAND-IN.

Fetch, ModelOpt 0.37 and the store are real. No GPU and no TensorRT-LLM here: `trtllm-build` and `nvidia-smi`
stand in at the process boundary, and the stand-in reads the checkpoints that ModelOpt really exported. What
it makes says so, and neither measuring nor publishing takes it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from support.servers.hub_faults import FaultyHub, faulty_hub
from support.servers.prefect_database import prefect_harness
from support.servers.proxy import Proxy, before
from support.servers.seaweed import S3Server
from support.standin.trtllm.toolchain import NAME, Gpu, install

from artifacts.errors import StandInRefused
from artifacts.hosts import EngineManifest
from artifacts.releases import JudgedOn, VariantRelease, list_releases
from artifacts.settings import Settings
from artifacts.store import Store, open_store
from engine_specs.spec import ResolvedVariant, Spec, load_spec, resolve_variants
from flows.demo.hub_repo import DEMO_HUB
from tasks import prefect_tasks as steps
from tasks.hub import HubAccess
from tasks.runs import Pipeline, StageResult
from tasks.stages import Sources, SpecGraph, measure, worker_stage
from tasks.stages.publish import publish
from tasks.toolchains import Toolchain, ensure

pytestmark = pytest.mark.toolchain

MODEL = "enginery/demo-llama"
DEMO = DEMO_HUB / MODEL
TEXTS = DEMO_HUB / "datasets" / "enginery" / "demo-text" / "calibration.jsonl"
SPEC = """
name: plans
version: "1.0"
checkpoint: {repo: enginery/demo-llama, revision: COMMIT}
compile: always
defaults:
  engine: {kind: trt-plan}
  quantization:
    recipe: fp8
    kv_cache: fp8
    device: cpu
    calibration: {path: texts.jsonl, samples: 4, sequence_length: 64}
  shape: {max_batch_size: 4, max_input_len: 128, max_seq_len: 192, max_num_tokens: 256}
variants:
  - {name: two-h100, target: h100-sxm, tensor_parallel: 2}
workload:
  input_tokens: 32
  output_tokens: 16
  concurrency: [1]
  operating_point: 1
  slo: {ttft_p99_ms: 20000, itl_p99_ms: 20000}
validation:
  reference: {configurations: [{}]}
  accuracy: {path: texts.jsonl, samples: 4, max_regret_nats_per_token: 0.05}
  speed: {metric: goodput_per_device, min_speedup: 1.0, confidence: 0.95, budget_minutes: 0.1}
economics: {gpu_hour_usd: 2, requests_per_day: 1000, upkeep_hours_per_month: 1, engineer_hour_usd: 120}
channels: [nightly]
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FaultyHub]:
    """The demo's model on a Hub, its config as transformers 4 saves it."""
    folder = tmp_path / "hub" / MODEL
    shutil.copytree(DEMO, folder)
    config = json.loads((folder / "config.json").read_text())
    rotary = config.pop("rope_parameters")
    older = {"rope_theta": rotary["rope_theta"], "torch_dtype": config.pop("dtype")}
    (folder / "config.json").write_text(json.dumps(config | older | {"transformers_version": "4.57.3"}))
    with faulty_hub(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def spec(hub: FaultyHub, tmp_path: Path) -> Spec:
    lines = TEXTS.read_text().splitlines(keepends=True)[:4]
    (tmp_path / "texts.jsonl").write_text("".join(lines))
    path = tmp_path / "plans.yaml"
    path.write_text(SPEC.replace("COMMIT", hub.repos["model", MODEL].commit))
    return load_spec(path)


@pytest.fixture
def access(hub: FaultyHub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache_dir=tmp_path / "hf-cache", token=None, timeout_s=20)


@pytest.fixture
def between(s3_server: S3Server) -> Iterator[Proxy]:
    """A proxy before the store that counts."""
    with before(s3_server.endpoint) as running:
        running.count()
        yield running


@pytest.fixture
def pipeline(settings: Settings, store: Store, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
    return Pipeline(settings, open_store(Settings()), say=lambda _line: None)


@pytest.fixture
def stand_in(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolchain:
    """Stands in for TensorRT-LLM's toolchain; all others are real."""
    toolchain = install(tmp_path / "toolchain", Gpu.of(resolve_variants(spec)[0].target))

    def ensured(name: str, *args: Any, **more: Any) -> Toolchain:
        return toolchain if name == NAME else ensure(name, *args, **more)

    monkeypatch.setattr(worker_stage, "ensure", ensured)
    return toolchain


@flow
def plans(pipeline: Pipeline, spec: Spec, access: HubAccess) -> list[tuple[StageResult, ...]]:
    """Fetch, quantize and build every variant."""
    sources, graph = Sources(spec, access), SpecGraph(spec, resolve_variants(spec))
    checkpoint = steps.fetch_checkpoint(pipeline, graph.checkpoint, sources)
    made = []
    for nodes in graph.variants:
        assert nodes.calibration is not None
        texts = steps.fetch_texts(pipeline, nodes.calibration, sources)
        trees = {"checkpoint": checkpoint.tree, "calibration": texts.tree}
        quantized = steps.quantize_checkpoint(pipeline, nodes.quantize, trees)
        engine = steps.build_engine(pipeline, nodes.build, {"checkpoint": quantized.tree})
        made.append((checkpoint, quantized, engine))
    return made


def test_a_checkpoint_becomes_plans_that_nothing_judges_or_publishes(
    pipeline: Pipeline,
    between: Proxy,
    spec: Spec,
    access: HubAccess,
    stand_in: Toolchain,
    tmp_path: Path,
) -> None:
    (tmp_path / "prefect").mkdir()
    with prefect_harness(tmp_path / "prefect"):
        made = plans(pipeline, spec, access)
    store, entries = pipeline.store, []
    for variant, (checkpoint, quantized, engine) in zip(resolve_variants(spec), made, strict=True):
        exported = {file.path for file in store.get_listing(quantized.tree).files}
        assert {f"rank{rank}.safetensors" for rank in range(variant.devices)} <= exported
        tree = tmp_path / variant.name
        store.materialize(engine.tree, tree)
        manifest = require_plans(tree, variant)
        assert manifest.toolchains == {
            "build": stand_in.identity,
            "serve": stand_in.identity,
            "quantize": ensure("modelopt-0.37-cpu", pipeline.settings).identity,
        }
        with pytest.raises(StandInRefused, match="measured"):
            measure.protocol_for(
                store,
                spec,
                variant,
                engine=engine.tree,
                checkpoint=checkpoint.tree,
                weights="1" * 64,
                heldout="0" * 64,
            )
        entries.append(entry_of(variant, engine, checkpoint, manifest))
    with pytest.raises(StandInRefused, match="published"):
        publish(pipeline, spec, spec.checkpoint.revision, entries)
    assert list_releases(store, spec.name) == ()
    assert between.received_bytes
    assert between.blob_bytes() == 0, "a tree that was made here was downloaded"


def require_plans(tree: Path, variant: ResolvedVariant) -> EngineManifest:
    """Hold an engine tree against the variant; returns its engine.json."""
    assert {f"rank{rank}.engine" for rank in range(variant.devices)} == {p.name for p in tree.glob("rank*")}
    model = json.loads((tree / "config.json").read_text())["pretrained_config"]
    formats = {key: model["quantization"][key] for key in ("quant_algo", "kv_cache_quant_algo")}
    assert formats == {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    assert (model["rotary_base"], model["logits_dtype"]) == (50000.0, "float32")
    assert (tree / "tokenizer.json").read_bytes() == (DEMO / "tokenizer.json").read_bytes()
    manifest = EngineManifest.model_validate_json((tree / "engine.json").read_bytes())
    assert manifest.stand_in
    assert manifest.requires.gpu_count == variant.devices
    return manifest


def entry_of(
    variant: ResolvedVariant, engine: StageResult, checkpoint: StageResult, manifest: EngineManifest
) -> VariantRelease:
    """What a release would say of an engine, had anyone judged it worth its while."""
    return VariantRelease(
        name=variant.name,
        required=True,
        target=variant.target.name,
        verdict="compile",
        reasons=("because",),
        requires=manifest.requires,
        judged_on=JudgedOn(cpu_model="a processor"),
        serve=manifest.serve,
        tree=engine.tree,
        vllm_serve=manifest.serve,
        vllm_tree=checkpoint.tree,
        checkpoint_tree=checkpoint.tree,
    )
