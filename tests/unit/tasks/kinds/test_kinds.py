"""Kinds: pure functions from a variant to jobs and commands."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.paths import SPECS

from artifacts.hosts import EngineManifest
from engine_specs.spec import ResolvedVariant, VllmConfiguration, load_spec, resolve_variants
from engine_specs.tables import load_targets
from tasks.errors import UnknownKind, UnknownSetting
from tasks.kinds import KINDS, kind_named
from tasks.kinds.vllm.reference import vllm_serve_command
from tasks.workers.aot.config import BuildPlan
from tasks.workers.aot.request import AotParams
from tasks.workers.aot.tree import Built, aot_manifest
from tasks.workers.common.gpu_host import GpuFacts
from tasks.workers.common.sources import closure


@pytest.fixture
def variant() -> ResolvedVariant:
    return resolve_variants(load_spec("demo", SPECS))[0]


def test_every_kind_is_found_by_its_own_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UnknownKind, match="no engine kind crystal-ball") as caught:
        kind_named("crystal-ball")
    assert "aot-inductor" in caught.value.fix


def test_a_build_job_holds_what_changes_the_engine_and_nothing_else(variant: ResolvedVariant) -> None:
    job = kind_named("aot-inductor").build_job(variant)
    renamed = variant.model_copy(update={"name": "other", "required": not variant.required})
    narrower = variant.model_copy(update={"shape": variant.shape.model_copy(update={"max_batch_size": 3})})
    assert kind_named("aot-inductor").build_job(renamed) == job
    assert kind_named("aot-inductor").build_job(narrower) != job
    assert job.params.target.cpu_features == variant.target.cpu_features


def test_the_fingerprinted_sources_include_helpers_and_the_shipped_server(variant: ResolvedVariant) -> None:
    job = kind_named("aot-inductor").build_job(variant)
    names = {source.name.removeprefix("tasks/workers/") for source in closure(job.worker, *job.ships)}
    assert {
        "aot/build.py",
        "aot/config.py",
        "aot/check.py",
        "aot/compile.py",
        "aot/checkpoint.py",
        "aot/linear.py",
        "common/io.py",
    } <= names
    assert {
        f"completions_server/{name}.py"
        for name in (
            "main",
            "http",
            "text/codec",
            "protocol/reading",
            "sampling",
            "aot_engine",
            "cuda_engine",
        )
    } <= names


def test_vllm_serves_sequences_as_long_as_the_variants(variant: ResolvedVariant) -> None:
    serve = vllm_serve_command({}, variant)
    command = serve.command(
        python="py", bin_dir="/bin", tree="/tree", scratch="/scratch", host="127.0.0.1", port=1, model="demo"
    )
    assert value_of(command, "--model") == "/tree"
    assert value_of(command, "--port") == "1"
    assert value_of(command, "--max-model-len") == str(variant.shape.max_seq_len)
    assert value_of(command, "--served-model-name") == "demo" == serve.served_model("demo")


def test_a_declared_setting_overrides_and_a_switch_has_two_forms(variant: ResolvedVariant) -> None:
    argv = vllm_serve_command(
        {"max_num_seqs": 99, "enforce_eager": True, "enable_prefix_caching": False}, variant
    ).argv
    assert value_of(list(argv), "--max-num-seqs") == "99"
    assert argv.count("--max-num-seqs") == 1
    assert "--enforce-eager" in argv
    assert "--no-enable-prefix-caching" in argv


def test_every_setting_that_a_spec_may_declare_has_a_flag(variant: ResolvedVariant) -> None:
    bare = vllm_serve_command({}, variant)
    for name in VllmConfiguration.model_fields:
        assert vllm_serve_command({name: 1}, variant) != bare


def test_nothing_that_decides_the_speed_of_vllm_is_forced_on_it(variant: ResolvedVariant) -> None:
    """Each of these has a reason: an address, a name, what a request may hold, and no line per request."""
    flags = {part for part in vllm_serve_command({}, variant).argv if part.startswith("--")}
    assert flags == {
        "--model",
        "--host",
        "--port",
        "--served-model-name",
        "--max-model-len",
        "--disable-uvicorn-access-log",
        "--generation-config",
    }


def test_an_unknown_setting_is_refused(variant: ResolvedVariant) -> None:
    with pytest.raises(UnknownSetting, match="warp_speed"):
        vllm_serve_command({"warp_speed": 9}, variant)


def test_the_manifest_that_the_worker_writes_is_one(tmp_path: Path, variant: ResolvedVariant) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    job = kind_named("aot-inductor").build_job(variant)
    assert isinstance(job.params, AotParams)
    plan = BuildPlan(
        checkpoint=tmp_path,
        architecture="LlamaForCausalLM",
        recipe=job.params.recipe,
        dtype="bfloat16",
        dtype_reason="",
        shape=job.params.shape,
        target=job.params.target,
    )
    params = replace(job.params, toolchains={"build": "0" * 64})
    written = aot_manifest(plan, params, Built({"torch": "2.13.0"}, gpu=None))
    read = EngineManifest.model_validate(written, strict=False)
    assert read.shape == variant.shape.model_dump()
    assert read.requires.cpu_features == variant.target.cpu_features
    assert read.serve.command(
        python="py", bin_dir="b", tree="/t", scratch="/scratch", host="h", port=5, model="m"
    )[:4] == [
        "py",
        "-P",
        "-m",
        "tasks.workers.completions_server.main",
    ]
    assert read.serve.environment(tree="/t", scratch="/s") == {"PYTHONPATH": "/t/server"}


def value_of(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


@pytest.mark.parametrize(("target", "capability"), [("a100-80gb", "8.0"), ("h200", "9.0"), ("b200", "10.0")])
def test_an_engine_for_a_gpu_is_built_and_served_with_the_toolchain_for_gpus(
    variant: ResolvedVariant, target: str, capability: str
) -> None:
    kind, on_gpu = kind_named("aot-inductor"), variant.model_copy(update={"target": load_targets()[target]})
    job = kind.build_job(on_gpu)
    assert isinstance(job.params, AotParams)
    assert (job.toolchain, kind.serve_command(on_gpu).toolchain) == ("aot-cuda", "aot-cuda")
    assert (job.params.target.device, job.params.target.compute_capability) == ("cuda", capability)
    gpu = on_gpu.target.gpu
    assert gpu is not None
    assert job.params.target.gpu_names == gpu.product_names
    assert kind.build_job(variant).params.target.device == "cpu"


def test_the_manifest_of_a_gpu_engine_names_the_gpus_that_load_it(
    tmp_path: Path, variant: ResolvedVariant
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    on_gpu = variant.model_copy(update={"target": load_targets()["h200"]})
    params = kind_named("aot-inductor").build_job(on_gpu).params
    assert isinstance(params, AotParams)
    plan = BuildPlan(tmp_path, "LlamaForCausalLM", "none", "bfloat16", "", params.shape, params.target)
    gpu = GpuFacts("NVIDIA H200", "9.0", "580.159.04", 1)
    written = aot_manifest(plan, params, Built({"torch": "2.13.0", "cuda": "13.0"}, gpu))
    read = EngineManifest.model_validate(written, strict=False)
    assert read.requires.gpu_names == ("NVIDIA H200",)
    assert (read.requires.compute_capability, read.requires.gpu_count) == ("9.0", 1)
    assert read.built_on is not None
    assert read.built_on.driver == "580.159.04"
