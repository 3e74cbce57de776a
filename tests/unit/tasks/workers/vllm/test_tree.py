"""What a tree holds next to the checkpoint, and what names the place of its caches."""

from dataclasses import replace
from pathlib import Path

import pytest

from artifacts.hosts import EngineManifest
from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from tasks.kinds import kind_named
from tasks.workers.common.hf_checkpoint import Checkpoint
from tasks.workers.vllm.place import place_of
from tasks.workers.vllm.request import VllmParams
from tasks.workers.vllm.tree import capture, identity_of, vllm_manifest

CHECKPOINT = Checkpoint(Path("/checkpoint"), "LlamaForCausalLM", "FP8", "FP8", "a" * 64)
CAPTURED = {"vllm": "0.26.0", "torch": "2.11.0", "gpu_name": "NVIDIA H200", "driver": "580.95.05"}


def params(target: str, **sizes: int) -> VllmParams:
    row = load_targets()[target]
    options = {each.name: each.default for each in load_kinds()["vllm"].options}
    shape = {"max_batch_size": 4, "max_input_len": 64, "max_seq_len": 128, "max_num_tokens": 256} | sizes
    variant = ResolvedVariant(
        name="v",
        target=row,
        tensor_parallel=2 if row.gpu else 1,
        engine=Engine(kind="vllm", options=options),
        quantization=Quantization(recipe="none", device=row.accelerator),
        shape=Shape(**shape),
    )
    found = kind_named("vllm").build_job(variant).params
    assert isinstance(found, VllmParams)
    return replace(found, toolchains={"build": "0" * 64})


def test_an_engine_for_gpus_asks_for_all_that_it_occupies_and_ships_what_was_captured() -> None:
    environment = {"CUDA_HOME": "/cuda", "HOME": "/a", "VLLM_X": "1", "VLLM_CACHE_ROOT": "/b"}
    written = vllm_manifest(params("h200"), CHECKPOINT, CAPTURED, place_of("f" * 64), environment)
    manifest = EngineManifest.model_validate(written, strict=False)
    assert manifest.requires.gpu_names == load_targets()["h200"].gpu.product_names  # type: ignore[union-attr]
    assert (manifest.requires.compute_capability, manifest.requires.gpu_count) == ("9.0", 2)
    assert manifest.warm_caches is not None
    assert manifest.warm_caches.captured == CAPTURED
    assert manifest.warm_caches.environment == {"CUDA_HOME": "/cuda", "VLLM_X": "1"}
    assert manifest.warm_caches.place == "/var/tmp/enginery-vllm-ffffffffffffffff"
    assert manifest.built_on is manifest.tuning is None


def test_another_vllm_serves_it_too_so_that_no_tool_binds_it() -> None:
    manifest = EngineManifest.model_validate(
        vllm_manifest(params("cpu-x86-64-v3"), CHECKPOINT, CAPTURED, None, {}), strict=False
    )
    assert manifest.tools == {"vllm": "0.26.0"}
    assert manifest.warm_caches is None
    assert "avx2" in manifest.requires.cpu_features
    assert manifest.requires.gpu_count == 0


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(2_000_000))
    return folder


def test_the_place_is_named_by_all_that_decides_the_engine(checkpoint: Path) -> None:
    first = identity_of(params("cpu-x86-64-v3"), checkpoint)
    assert identity_of(params("cpu-x86-64-v3"), checkpoint) == first
    assert identity_of(params("cpu-x86-64-v3", max_seq_len=256), checkpoint) != first
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(bytes(1_000_000) + b"1" + bytes(999_999))
    second = identity_of(params("cpu-x86-64-v3"), checkpoint)
    assert second != first
    weights.rename(checkpoint / "other.safetensors")
    assert identity_of(params("cpu-x86-64-v3"), checkpoint) != second


def test_what_belongs_to_a_process_or_to_this_host_is_not_captured(tmp_path: Path) -> None:
    place = place_of("f" * 64, tmp_path)
    inductor = place.caches / "inductor" / "ab"
    inductor.mkdir(parents=True)
    for name in ("kernel.so", "kernel.lock", "kernel.123.tmp", "gpu_p2p_access_cache_for_0,1.json"):
        (inductor / name).write_text("1234")
    assert capture(place, tmp_path / "tree") == (1, 4)
    assert [path.name for path in (tmp_path / "tree").rglob("*.*")] == ["kernel.so"]
