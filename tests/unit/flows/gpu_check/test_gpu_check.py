"""`make gpu-check`: what it would run on which host, what it says where nothing can run, and its page."""

import datetime as dt
from pathlib import Path

import pytest
from support.plans.golden import absent

from artifacts.hosts import Gpu, HostFacts
from artifacts.settings import Settings
from engine_specs.preflight import examine
from engine_specs.spec import resolve_variants
from engine_specs.tables import Target, load_kinds, load_targets
from flows.demo.hub_repo import DEMO_HUB, read_hub
from flows.gpu_check import __main__ as command
from flows.gpu_check.checkpoint import DEMO_MODEL, REPO, CheckpointForCheck, prepare
from flows.gpu_check.choice import HostChoice, choose, target_of
from flows.gpu_check.result import KindOutcome, page, page_name
from flows.gpu_check.specs import check_spec
from flows.prefect_run import BuildSummary, VariantSummary
from tasks.runs import StageResult

DAY = dt.date(2026, 11, 23)
GPU_KINDS = [kind for kind in load_kinds().values() if "cuda" in kind.accelerators]
SUPPORTED = [
    (kind, target)
    for kind in GPU_KINDS
    for target in load_targets().values()
    if any(target.compute_capability in row.compute_capabilities for row in kind.recipes)
]
NO_GPU = HostFacts(machine="x86_64", cpu_features=(), no_gpus="no NVIDIA driver is installed")


def host(target: Target, count: int) -> HostFacts:
    """A host of a target with that many GPUs and a new driver."""
    assert target.gpu is not None
    gpus = tuple(
        Gpu(
            index=index,
            name=target.gpu.product_names[0],
            uuid=f"GPU-{index}",
            memory_bytes=target.memory_bytes or 0,
            compute_capability=target.gpu.compute_capability,
        )
        for index in range(count)
    )
    return HostFacts(machine=target.machine, cpu_features=(), gpus=gpus, driver="595.10.01")


H100 = host(load_targets()["h100-sxm"], 1)
EIGHT = host(load_targets()["h100-sxm"], 8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> CheckpointForCheck:
    return prepare(tmp_path_factory.mktemp("gpu-check") / "hub")


def test_the_checkpoint_is_the_demos_in_the_older_spelling(checkpoint: CheckpointForCheck) -> None:
    config = checkpoint.metadata.config
    assert (config["rope_theta"], config["rope_scaling"], config["torch_dtype"]) == (
        50000.0,
        None,
        "bfloat16",
    )
    assert "rope_parameters" not in config
    ours, theirs = read_hub(checkpoint.hub)["model", REPO], read_hub(DEMO_HUB)["model", DEMO_MODEL]
    different = {one.path for one in ours.files} ^ {one.path for one in theirs.files}
    different |= {one.path for one in ours.files if one.blob_id != theirs.file(one.path).blob_id}
    assert different == {"config.json"}
    assert ours.commit == checkpoint.commit


def installed(_name: str) -> str:
    return "a" * 64


@pytest.mark.parametrize(("kind", "target"), SUPPORTED, ids=lambda one: one.name)
def test_the_small_spec_passes_preflight_on_every_gpu_that_the_kind_supports(
    kind, target: Target, checkpoint: CheckpointForCheck
) -> None:
    spec, metadata = check_spec(kind, target, checkpoint.commit), checkpoint.metadata
    variants = resolve_variants(spec)
    assert len(variants) == 2, "unquantized, and one recipe that the GPU takes"
    for variant in variants:
        assert examine(spec, variant, metadata.config, metadata.file_bytes).problems == ()


def test_a_host_without_a_gpu_runs_nothing_and_says_why(checkpoint: CheckpointForCheck) -> None:
    choice = choose(NO_GPU, installed, checkpoint)
    assert choice.runnable == ()
    assert "no NVIDIA driver is installed" in choice.gpus
    assert "NVIDIA GPU" in choice.obstacle


def test_a_gpu_of_no_target_runs_nothing(checkpoint: CheckpointForCheck) -> None:
    gpu = H100.gpus[0].model_copy(update={"name": "NVIDIA GeForce 256", "compute_capability": "1.0"})
    facts = H100.model_copy(update={"gpus": (gpu,)})
    assert target_of(facts) is None
    assert "no target names this GPU" in choose(facts, installed, checkpoint).obstacle


def test_every_gpu_kind_runs_where_its_toolchains_are(checkpoint: CheckpointForCheck) -> None:
    choice = choose(EIGHT, installed, checkpoint)
    assert {one.kind for one in choice.runnable} == {kind.name for kind in GPU_KINDS}


def test_what_is_missing_is_told_with_the_remedy(checkpoint: CheckpointForCheck) -> None:
    lacking = {one.kind: "\n".join(one.obstacles) for one in choose(EIGHT, absent, checkpoint).kinds}
    for kind in GPU_KINDS:
        for name in (kind.toolchains.build, kind.toolchains.quantize["cuda"]):
            assert f"toolchain {name}: it is not installed yet" in lacking[kind.name]
            assert f"enginery toolchain install {name}" in lacking[kind.name]


def test_the_page_is_named_by_day_and_gpu() -> None:
    assert page_name(H100, DAY) == "2026-11-23-gpu-check-h100-80gb-hbm3.md"


def outcome(**changes: object) -> KindOutcome:
    stage = StageResult(
        stage="build",
        variant="fp8",
        fingerprint="f" * 64,
        tree="e" * 64,
        metrics={},
        tools={"tensorrt-llm": "1.2.1"},
        reused=False,
        reason="",
        duration_s=61.0,
        made_in_s=61.0,
    )
    variant = VariantSummary(
        name="fp8",
        required=True,
        verdict="stay-on-vllm",
        row="not-faster",
        reasons=("Goodput is 0.98 times the reference's.",),
        tree=None,
        report=None,
    )
    summary = BuildSummary(
        spec="gpu-check-trt-plan",
        commit="c" * 40,
        version=None,
        publication="",
        variants=(variant,),
        stages=(stage,),
        duration_s=300.0,
    )
    return KindOutcome(**{"kind": "trt-plan", "summary": summary, **changes})


def test_the_page_holds_host_versions_command_figures_and_what_was_not_run(
    checkpoint: CheckpointForCheck,
) -> None:
    failed = outcome(kind="trtllm-torch", summary=None, failure="memory ran out")
    choice = choose(H100, absent, checkpoint)
    text = page(H100, choice, (outcome(), failed), DAY)
    for said in (
        "# GPU check, 2026-11-23",
        "1 x NVIDIA H100 80GB HBM3 (compute capability 9.0), driver 595.10.01",
        "tensorrt-llm 1.2.1",
        "`python -m flows.gpu_check`",
        "| trt-plan | fp8 | stay-on-vllm | not-faster |",
        "| trtllm-torch | - | failed | - |",
        "memory ran out",
        "Goodput is 0.98 times the reference's.",
        "- build fp8: made in 61.0 s, tree eeeeeeeeeeee",
        "was not run: toolchain",
    ):
        assert said in text


def run_on(facts: HostFacts, choice: HostChoice, monkeypatch: pytest.MonkeyPatch, directory: Path) -> int:
    monkeypatch.setattr(command, "probe_host", lambda: facts)
    monkeypatch.setattr(command, "choose", lambda *_: choice)
    return command.main([str(directory)])


def test_without_a_gpu_it_exits_4_and_writes_nothing(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    checkpoint: CheckpointForCheck,
) -> None:
    code = run_on(NO_GPU, choose(NO_GPU, absent, checkpoint), monkeypatch, tmp_path / "results")
    assert code == 4
    assert "no NVIDIA driver is installed" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_host_that_lacks_toolchains_gets_a_page_that_says_so(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    checkpoint: CheckpointForCheck,
) -> None:
    code = run_on(H100, choose(H100, absent, checkpoint), monkeypatch, tmp_path / "results")
    assert code == 4
    (written,) = (tmp_path / "results").iterdir()
    text = written.read_text()
    assert "no tool has run" in text
    assert all(f"| {kind.name} | - | not run | - |" in text for kind in GPU_KINDS)


@pytest.mark.parametrize(("failure", "code"), [("", 0), ("memory ran out", 1)])
def test_its_exit_code_says_whether_all_came_to_a_verdict(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    checkpoint: CheckpointForCheck,
    failure: str,
    code: int,
) -> None:
    monkeypatch.setattr(command, "_run_all", lambda *_: (outcome(failure=failure),))
    assert run_on(EIGHT, choose(EIGHT, installed, checkpoint), monkeypatch, tmp_path / "results") == code
    (written,) = (tmp_path / "results").iterdir()
    assert written.name.endswith("-gpu-check-h100-80gb-hbm3.md")
