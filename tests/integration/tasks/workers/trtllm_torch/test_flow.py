"""Checkpoints of the real ModelOpt, through the real worker, into engines: by a STAND-IN of the tool.

No GPU and no TensorRT-LLM here: `trtllm-serve` and `nvidia-smi` are stand-ins at the process boundary, which
refuse what the real ones would refuse. What they make says so, and is never judged or published.
"""

import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.standin.nvml import gpu
from support.standin.trtllm import serve_toolchain
from support.standin.trtllm.toolchain import Gpu
from support.toolchains.workers import staged, staged_file

from artifacts.canonical import sha256_file
from artifacts.errors import CannotServe
from artifacts.hosts import EngineManifest, HostFacts, refuse_unservable
from artifacts.settings import Settings
from artifacts.store import Store
from artifacts.store.trees import scan
from engine_specs.spec import Draft, ResolvedVariant, Shape, Speculative, load_spec
from engine_specs.spec.variant import Calibration, Engine, Quantization
from engine_specs.tables import SpeculativeMethod, load_kinds, load_targets
from flows.demo.hub_repo import DEMO_HUB
from tasks.errors import EngineWrong, WorkerFailed, WorkerOutOfMemory, WorkerRefused
from tasks.hosts import gpu_locks as gpus
from tasks.runs import Pipeline
from tasks.stages import Inputs, worker_stage
from tasks.stages.build import Build as BuildNode
from tasks.stages.build import build_job, toolchains_of
from tasks.stages.fetch import FetchCheckpoint
from tasks.stages.quantize import quantize_job
from tasks.toolchains import Toolchain, ensure, run_job, serving
from tasks.workers.common.requests import Nothing, Request

FACTS = load_kinds()["trtllm-torch"]
DEMO = DEMO_HUB / "enginery" / "demo-llama"
TEXTS = DEMO_HUB / "datasets" / "enginery" / "demo-text" / "calibration.jsonl"
QUANTIZE_ALL = Path(__file__).with_name("programs") / "quantize_all.py"
IDENTITIES = dict.fromkeys(("build", "serve", "quantize"), "0" * 64)

Build = Callable[[ResolvedVariant, Path, Toolchain], Path]


def variant(target: str, recipe: str, kv_cache: str = "none", *, tensor_parallel: int = 1) -> ResolvedVariant:
    texts = Calibration(path="texts.jsonl", samples=4, sequence_length=64)
    calibration = None if recipe == "none" else texts
    return ResolvedVariant(
        name=target,
        target=load_targets()[target],
        tensor_parallel=tensor_parallel,
        engine=Engine(kind=FACTS.name, options={row.name: row.default for row in FACTS.options}),
        quantization=Quantization(recipe=recipe, kv_cache=kv_cache, device="cpu", calibration=calibration),
        shape=Shape(max_batch_size=4, max_input_len=128, max_seq_len=192, max_num_tokens=256),
    )


QUANTIZED = (variant("h100-sxm", "fp8", "fp8"), variant("b200", "nvfp4", "fp8", tensor_parallel=2))


@pytest.fixture
def toolchain(tmp_path: Path) -> Callable[..., Toolchain]:
    """Installs stand-ins for a host with these GPUs."""

    def install(target: str, *, count: int = 1, fails: str = "") -> Toolchain:
        row = load_targets()[target]
        return serve_toolchain.install(tmp_path / "toolchain", Gpu.of(row, count), fails=fails)

    return install


@pytest.fixture
def build_engine(tmp_path: Path) -> Build:
    """Runs the build stage's own job over a checkpoint; returns the engine tree."""

    def run(asked: ResolvedVariant, checkpoint: Path, toolchain: Toolchain) -> Path:
        identities = {name: IDENTITIES[role] for role, name in toolchains_of(asked).items()}
        marked = frozenset(identities) if toolchain.stand_in else frozenset[str]()
        work = build_job("spec", asked, Inputs({"checkpoint": "0" * 64}, identities, marked))
        output = tmp_path / "engine"
        output.mkdir()
        request = Request(work.params, work.admission, {"checkpoint": checkpoint}, output)
        log = tmp_path / "build.log"
        worker = staged(tmp_path / "worker", work.worker)
        run_job(toolchain, worker, request, log=log, on_line=lambda _line: None, time_limit_s=120)
        return output

    return run


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of the demo as the real ModelOpt quantizes it on the processor: a directory a variant."""
    folder = tmp_path_factory.mktemp("quantized")
    checkpoint = shutil.copytree(DEMO, folder / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    (folder / "texts").mkdir()
    lines = TEXTS.read_text().splitlines(keepends=True)[:4]
    (folder / "texts" / "texts.jsonl").write_text("".join(lines))
    jobs = {}
    for one in QUANTIZED:
        trees = {"checkpoint": "0" * 64, "calibration": "1" * 64}
        work = quantize_job("spec", one, Inputs(trees, {}), Path())
        jobs[one.name] = {"params": work.params, "admission": work.admission}
    inputs = {"checkpoint": checkpoint, "calibration": folder / "texts"}
    request = Request({"jobs": jobs}, Nothing(), inputs, folder)
    modelopt = ensure("modelopt-cpu", Settings())
    log = folder / "quantize.log"
    worker = staged_file(folder / "worker", QUANTIZE_ALL)
    run_job(modelopt, worker, request, log=log, on_line=lambda _line: None, time_limit_s=600)
    return folder


@pytest.mark.toolchain
@pytest.mark.parametrize("asked", QUANTIZED, ids=lambda one: one.name)
def test_a_really_quantized_checkpoint_becomes_an_engine_that_serves(
    asked: ResolvedVariant,
    quantized: Path,
    toolchain: Callable[..., Toolchain],
    build_engine: Build,
    tmp_path: Path,
) -> None:
    checkpoint, standin = quantized / asked.name, toolchain(asked.target.name, count=asked.devices)
    engine = build_engine(asked, checkpoint, standin)
    manifest = EngineManifest.model_validate_json((engine / "engine.json").read_bytes())
    assert manifest.stand_in
    assert manifest.tuning is not None
    assert manifest.tuning.config_sha256 == sha256_file(engine / "llm_args.yaml")
    assert manifest.requires.gpu_count == asked.devices
    cache = json.loads((engine / manifest.tuning.path).read_text())
    assert {f"rank_{rank}" for rank in range(asked.devices)} == set(cache) - {"metadata"}
    for file in checkpoint.iterdir():
        assert (engine / file.name).read_bytes() == file.read_bytes()
    before = scan(engine).digest
    assert answer(standin, manifest, engine, tmp_path) == " 4"
    assert scan(engine).digest == before


@pytest.mark.parametrize("method", ["draft_model", "ngram"])
def test_an_engine_that_drafts_serves_wherever_it_is(
    method: SpeculativeMethod, toolchain: Callable[..., Toolchain], build_engine: Build, tmp_path: Path
) -> None:
    draft = Draft(repo="acme/draft", revision="d" * 40) if method == "draft_model" else None
    asked = variant("h100-sxm", "none").model_copy(
        update={"speculative": Speculative(method=method, tokens=3, draft=draft)}
    )
    checkpoint = shutil.copytree(DEMO, tmp_path / "checkpoint")
    if draft is not None:
        shutil.copytree(DEMO, checkpoint / "draft")
    standin = toolchain("h100-sxm")
    engine = build_engine(asked, checkpoint, standin)
    manifest = EngineManifest.model_validate_json((engine / "engine.json").read_bytes())
    assert manifest.speculative is not None
    assert (manifest.speculative.method, manifest.speculative.tokens) == (method, 3)
    assert (engine / "draft" / "config.json").is_file() == (draft is not None)
    config = yaml.safe_load((engine / "llm_args.yaml").read_text())["speculative_config"]
    assert config.get("speculative_model") == ("{tree}/draft" if draft else None)
    moved = engine.rename(tmp_path / "elsewhere")
    before = scan(moved).digest
    assert answer(standin, manifest, moved, tmp_path) == " 4"
    assert scan(moved).digest == before


def answer(toolchain: Toolchain, manifest: EngineManifest, engine: Path, tmp_path: Path) -> str:
    """Serve the engine by its own serve command and ask for a completion."""
    log = tmp_path / "serve.log"
    with serving(
        toolchain, manifest.serve, engine, log=log, on_line=lambda _line: None, ready_limit_s=60
    ) as server:
        asked = json.dumps({"model": manifest.serve.model, "prompt": [1, 2, 3], "max_tokens": 1}).encode()
        with urllib.request.urlopen(f"{server.base_url}/v1/completions", asked, timeout=30) as response:
            return str(json.load(response)["choices"][0]["text"])


@pytest.mark.parametrize(
    ("fails", "error", "said"),
    [
        ("gpu-memory", WorkerOutOfMemory, "CUDA out of memory"),
        ("dies", WorkerFailed, "Executor creation failed"),
        ("no-cache", WorkerRefused, "left no autotuner cache"),
        ("no-form", WorkerRefused, "unknown form"),
        ("other-gpu", WorkerRefused, "for NVIDIA Other"),
        ("no-answer", EngineWrong, "the executor has died"),
    ],
)
def test_a_tool_that_fails_is_reported(
    fails: str, error: type[Exception], said: str, toolchain: Callable[..., Toolchain], build_engine: Build
) -> None:
    with pytest.raises(error) as caught:
        build_engine(variant("h100-sxm", "none"), DEMO, toolchain("h100-sxm", fails=fails))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "host", "said"),
    [
        (variant("b200", "none"), "h200", "this host has NVIDIA H200"),
        (variant("h200", "none", tensor_parallel=2), "h200", "may use 1 of NVIDIA H200"),
        (variant("h200", "fp8"), "h200", "quant_algo is nothing"),
    ],
)
def test_what_cannot_be_built_here_is_refused_before_the_tool_starts(
    asked: ResolvedVariant,
    host: str,
    said: str,
    toolchain: Callable[..., Toolchain],
    build_engine: Build,
    tmp_path: Path,
) -> None:
    with pytest.raises(WorkerRefused, match=said):
        build_engine(asked, DEMO, toolchain(host))
    assert "trtllm-serve" not in (tmp_path / "build.log").read_text()


def test_a_checkpoint_that_says_what_its_tensors_are_not_is_refused_by_the_tool(
    toolchain: Callable[..., Toolchain], build_engine: Build, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(DEMO, damaged)
    said = {"quant_algo": "FP8", "kv_cache_quant_algo": None}
    (damaged / "hf_quant_config.json").write_text(json.dumps({"quantization": said}))
    with pytest.raises(WorkerFailed, match="exit code 1") as caught:
        build_engine(variant("h200", "fp8"), damaged, toolchain("h200"))
    assert "q_proj.weight is BF16; FP8 loads F8_E4M3" in str(caught.value)


def test_the_engine_is_served_where_it_was_tuned_and_nowhere_else(
    toolchain: Callable[..., Toolchain], build_engine: Build
) -> None:
    standin = toolchain("h200")
    engine = build_engine(variant("h200", "none"), DEMO, standin)
    refuse_unservable(engine, host("NVIDIA H200"), standin.versions)
    with pytest.raises(CannotServe, match="NVIDIA H100 PCIe"):
        refuse_unservable(engine, host("NVIDIA H100 PCIe"), standin.versions)
    newer = {**standin.versions, "tensorrt-llm": "1.4.0rc2"}
    with pytest.raises(CannotServe, match="tool version: measured with"):
        refuse_unservable(engine, host("NVIDIA H200"), newer)
    settings = engine / "llm_args.yaml"
    settings.write_text(settings.read_text().replace("max_batch_size: 4", "max_batch_size: 8"))
    with pytest.raises(CannotServe, match="config sha256: measured with"):
        refuse_unservable(engine, host("NVIDIA H200"), standin.versions)


def host(name: str) -> HostFacts:
    """A host with one GPU of compute capability 9.0."""
    return HostFacts(machine="x86_64", cpu_features=(), gpus=(gpu(name),), driver="580.95.05")


def test_the_stage_builds_once_and_says_that_a_stand_in_did(
    settings: Settings, store: Store, toolchain: Callable[..., Toolchain], monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = toolchain("h200").model_copy(update={"accelerator": "cuda"})
    monkeypatch.setattr(gpus, "probe_host", lambda: host("NVIDIA H200"))
    monkeypatch.setattr(worker_stage, "ensure", lambda *_args, **_switches: standin)
    pipeline = Pipeline(settings, store, say=lambda _line: None)
    checkpoint = store.put_tree(DEMO).digest
    spec = load_spec("demo")
    node = BuildNode(spec, variant("h200", "none"), FetchCheckpoint(spec))
    first, again = (node.run(pipeline, {"checkpoint": checkpoint}) for _ in range(2))
    assert (first.reused, again.reused, first.tree) == (False, True, again.tree)
    assert first.metrics["tuned_choices"] == 1
    paths = {file.path for file in store.get_listing(first.tree).files}
    assert {"engine.json", "llm_args.yaml", "autotuner/cache.json", "model.safetensors.index.json"} <= paths
