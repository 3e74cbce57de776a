"""Engines of all architectures, built by the real compiler and proved by the worker's own check."""

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from engine_support import HERE, Built, RunJob, variant

from artifacts.canonical import sha256_file
from artifacts.engine import EngineManifest
from tasks.errors import WorkerRefusedInput
from tasks.kinds import kind_named
from tasks.kinds.kind import WORKERS

pytestmark = pytest.mark.toolchain

RECHECK = HERE / "workers" / "recheck.py"


def test_the_tree_describes_itself(llama: Built) -> None:
    manifest = EngineManifest.model_validate_json((llama.tree / "engine.json").read_text())
    assert manifest.architecture == "LlamaForCausalLM"
    assert manifest.shape == llama.params["shape"]
    assert manifest.tokenizer_sha256 == sha256_file(llama.checkpoint / "tokenizer.json")
    assert manifest.tools.keys() == {"torch", "transformers", "g++"}
    assert set(manifest.requires.cpu_features) >= {"avx2", "fma"}
    assert (llama.tree / "server" / "serve_aot.py").is_file()
    assert (llama.tree / "tokenizer.json").read_bytes() == (llama.checkpoint / "tokenizer.json").read_bytes()


def test_the_check_looked_at_more_than_one_batch(llama: Built) -> None:
    check = llama.outcome.metrics["check"]
    assert check["positions"] == 5 * (1 + 1 + 2 + 3 + 4)
    assert check["argmax_agreement"] == 1.0
    assert check["engine_max"] < 1e-4 < check["reference_rms"]


def test_code_for_avx2_holds_no_avx512(llama: Built, tmp_path: Path) -> None:
    listing = disassembled(llama.tree / "model.pt2", tmp_path)
    assert listing.count("%ymm") > 100
    assert listing.count("%zmm") == 0


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "Qwen3ForCausalLM"])
def test_other_architectures_build(engines: dict[str, Built], architecture: str) -> None:
    built = engines[architecture]
    check = built.outcome.metrics["check"]
    assert check["engine_rms"] <= check["allowed_rms"] < check["reference_rms"] / 10
    assert json.loads((built.tree / "decoder.json").read_text())["dtype"] == "bfloat16"


def test_the_right_engine_passes_a_wrong_one_and_impossible_calls_do_not(job: RunJob, llama: Built) -> None:
    params = {"build": llama.params, "weight": "model.layers.0.self_attn.o_proj.weight", "factor": 1.001}
    found = job(RECHECK, params, tree=llama.tree, checkpoint=llama.checkpoint).metrics
    assert found["right"] == ""
    assert re.match(r"regression: .* is not what the checkpoint says: error .* rms", found["wrong"])
    assert found["refused_calls"] == [True] * 8


def test_a_checkpoint_of_another_recipe_is_refused(job: RunJob, llama: Built) -> None:
    plan = kind_named("aot-inductor").build_job(variant("int8_weight_only"))
    params = {**plan.params, "toolchains": {}}
    with pytest.raises(WorkerRefusedInput, match="expects weights stored as W8A16"):
        job(plan.worker, params, checkpoint=llama.checkpoint)


def test_a_checkpoint_with_a_hole_is_refused_before_it_is_compiled(
    job: RunJob, llama: Built, tmp_path: Path
) -> None:
    holed = tmp_path / "checkpoint"
    shutil.copytree(llama.checkpoint, holed)
    weights = holed / "model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"model.norm.weight", b"model.nrom.weight"))
    with pytest.raises(WorkerRefusedInput, match=r"missing_keys, such as model\.norm\.weight"):
        job(WORKERS / "build_aot.py", llama.params, checkpoint=holed)


def disassembled(package: Path, folder: Path) -> str:
    with zipfile.ZipFile(package) as archive:
        (library,) = [name for name in archive.namelist() if name.endswith(".so")]
        archive.extract(library, folder)
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(folder / library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
