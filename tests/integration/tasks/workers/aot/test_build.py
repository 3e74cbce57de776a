"""Engines of all architectures, built by the real compiler and proved by the worker's own check."""

import json
import re
import shutil
import subprocess
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from support.engines.built import PROGRAMS, Built, RunJob, variant

from artifacts.canonical import sha256_file
from artifacts.hosts import EngineManifest
from tasks.errors import WorkerRefusedInput
from tasks.kinds import kind_named
from tasks.kinds.aot_inductor import WORKER
from tasks.workers.aot.request import SERVER
from tasks.workers.common.sources import closure

pytestmark = pytest.mark.toolchain

RECHECK = PROGRAMS / "recheck.py"


def test_the_tree_describes_itself(qwen2: Built) -> None:
    manifest = EngineManifest.model_validate_json((qwen2.tree / "engine.json").read_text())
    assert manifest.architecture == "Qwen2ForCausalLM"
    assert manifest.shape == asdict(qwen2.params.shape)
    assert manifest.tokenizer_sha256 == sha256_file(qwen2.checkpoint / "tokenizer.json")
    assert manifest.tools.keys() == {"torch", "transformers", "g++"}
    assert set(manifest.requires.cpu_features) >= {"avx2", "fma"}
    shipped = {source.name for source in closure(SERVER)}
    server = qwen2.tree / "server"
    assert {path.relative_to(server).as_posix() for path in server.rglob("*.*")} == shipped
    assert (qwen2.tree / "tokenizer.json").read_bytes() == (qwen2.checkpoint / "tokenizer.json").read_bytes()


def test_the_store_keeps_its_weights_once_with_the_checkpoint(qwen2: Built) -> None:
    shards = sorted(qwen2.checkpoint.glob("*.safetensors"))
    shipped = sorted((qwen2.tree / "weights").iterdir())
    assert len(shards) > 1
    assert list(map(sha256_file, shipped)) == list(map(sha256_file, shards))
    facts = json.loads((qwen2.tree / "decoder.json").read_text())
    assert facts["weights"]["model.lm_head.weight"]["tensors"] == ["model.embed_tokens.weight"]


def test_the_check_looked_at_more_than_one_batch(qwen2: Built) -> None:
    check = qwen2.outcome.metrics["check"]
    assert check["positions"] == 5 * (1 + 1 + 2 + 3 + 4)
    assert check["argmax_agreement"] == 1.0
    assert check["engine_max"] < 1e-4 < check["reference_rms"]


def test_code_for_avx2_holds_no_avx512(qwen2: Built, tmp_path: Path) -> None:
    listing = disassembled(qwen2.tree / "model.pt2", tmp_path)
    assert listing.count("%ymm") > 100
    assert listing.count("%zmm") == 0


def test_small_weights_in_a_narrow_dtype_stay_within_what_rounding_explains(qwen3: Built) -> None:
    check = qwen3.outcome.metrics["check"]
    assert check["engine_rms"] <= check["allowed_rms"] < check["reference_rms"] / 10
    assert json.loads((qwen3.tree / "decoder.json").read_text())["dtype"] == "bfloat16"


def test_the_right_engine_passes_a_wrong_one_and_impossible_calls_do_not(job: RunJob, qwen2: Built) -> None:
    params = {
        "build": qwen2.params,
        "admission": kind_named("aot-inductor").build_job(variant("none")).admission,
        "weight": "model.layers.0.self_attn.o_proj.weight",
        "factor": 1.001,
    }
    found = job(RECHECK, params, tree=qwen2.tree, checkpoint=qwen2.checkpoint).metrics
    assert found["right"] == ""
    assert re.match(r"regression: .* is not what the checkpoint says: error .* rms", found["wrong"])
    assert found["refused_calls"] == [True] * 8


def test_a_checkpoint_of_another_recipe_is_refused(job: RunJob, qwen2: Built) -> None:
    plan = kind_named("aot-inductor").build_job(variant("int8_weight_only"))
    with pytest.raises(WorkerRefusedInput, match="expects weights stored as W8A16"):
        job(plan.worker, plan.params, checkpoint=qwen2.checkpoint)


def test_a_checkpoint_with_a_hole_is_refused_before_it_is_compiled(
    job: RunJob, qwen2: Built, tmp_path: Path
) -> None:
    holed = tmp_path / "checkpoint"
    shutil.copytree(qwen2.checkpoint, holed)
    for shard in (*holed.glob("*.safetensors"), holed / "model.safetensors.index.json"):
        shard.write_bytes(shard.read_bytes().replace(b"model.norm.weight", b"model.nrom.weight"))
    with pytest.raises(WorkerRefusedInput, match=r"missing_keys, such as model\.norm\.weight"):
        job(WORKER, qwen2.params, checkpoint=holed)


def disassembled(package: Path, folder: Path) -> str:
    with zipfile.ZipFile(package) as archive:
        (library,) = [name for name in archive.namelist() if name.endswith(".so")]
        archive.extract(library, folder)
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(folder / library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
