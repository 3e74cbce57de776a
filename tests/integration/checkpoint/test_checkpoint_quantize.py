"""Quantizing the demo checkpoint with the real ModelOpt."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import tasks
from artifacts.settings import Settings
from artifacts.trees import scan
from engine_specs.recipes import load_kv_caches, load_recipes
from flows.demo.hub_repo import DEMO_HUB
from tasks.errors import WorkerRefused
from tasks.toolchains import JobOutcome, JobRequest, Toolchain, ensure, run_job

pytestmark = pytest.mark.toolchain

DEMO = DEMO_HUB / "enginery" / "demo-llama"
WORKER = Path(tasks.__file__).parent / "workers" / "quantize_modelopt.py"
DAMAGE = Path(__file__).parents[2] / "support" / "damage.py"
TEXTS = 8

Quantize = Callable[..., JobOutcome]


@pytest.fixture(scope="module")
def modelopt() -> Toolchain:
    return ensure("modelopt-cpu", Settings())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    source = DEMO_HUB / "datasets" / "enginery" / "demo-text" / "calibration.jsonl"
    lines = source.read_text().splitlines(keepends=True)[:TEXTS]
    (folder / "texts.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def quantize(modelopt: Toolchain, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Quantize:
    """Run the worker over a checkpoint; `output` is a new directory."""

    def run(checkpoint: Path, output: Path, recipe: str, kv_cache: str = "none") -> JobOutcome:
        params = {
            "recipe": load_recipes()[recipe].model_dump(mode="json"),
            "kv_cache": load_kv_caches()[kv_cache].model_dump(mode="json"),
            "architectures": ["LlamaForCausalLM"],
            "export_format": "hf",
            "calibration": {"sequence_length": 96},
        }
        output.mkdir()
        inputs = {"checkpoint": checkpoint, "calibration": texts}
        request = JobRequest(params=params, inputs=inputs, output=output)
        log = tmp_path_factory.mktemp("log") / "worker.log"
        return run_job(modelopt, WORKER, request, log=log, on_line=lambda _line: None, time_limit_s=300)

    return run


@pytest.fixture(scope="module")
def fp8(quantize: Quantize, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobOutcome]:
    output = tmp_path_factory.mktemp("fp8") / "export"
    return output, quantize(DEMO, output, "fp8", kv_cache="fp8")


def test_an_fp8_export_is_half_as_large_loses_little_and_says_so(fp8: tuple[Path, JobOutcome]) -> None:
    output, outcome = fp8
    report = json.loads((output / "quantization_report.json").read_text())
    assert report["weight_bytes_before"] == sum(f.stat().st_size for f in DEMO.glob("*.safetensors"))
    assert 0.5 < report["weight_bytes_after"] / report["weight_bytes_before"] < 0.6
    assert report["formats"]["model.layers.0.mlp.up_proj"] == {"input": "e4m3", "weight": "e4m3"}
    assert report["formats"]["model.layers.0.self_attn"] == {"k_bmm": "e4m3", "v_bmm": "e4m3"}
    assert report["left_out"] == ["lm_head", "model.embed_tokens"] == sorted(load_recipes()["fp8"].left_out)
    assert len(set(report["calibration_ids"])) == TEXTS
    assert 0 < abs(report["loss_after_nats_per_token"] - report["loss_before_nats_per_token"]) < 0.05
    assert outcome.metrics["weight_bytes_after"] == report["weight_bytes_after"]
    assert outcome.tools["nvidia-modelopt"]
    exported = json.loads((output / "hf_quant_config.json").read_text())["quantization"]
    assert exported["quant_algo"] == load_recipes()["fp8"].quant_algo
    assert exported["kv_cache_quant_algo"] == "FP8"


def test_an_export_brings_tokenizer_and_rope_base_along(fp8: tuple[Path, JobOutcome]) -> None:
    output, _ = fp8
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (output / name).read_bytes() == (DEMO / name).read_bytes()
    config = json.loads((output / "config.json").read_text())
    assert config["rope_parameters"]["rope_theta"] == 50000.0
    assert not (output / "pytorch_model.bin").exists()


def test_the_same_inputs_give_the_same_bytes(
    fp8: tuple[Path, JobOutcome], quantize: Quantize, tmp_path: Path
) -> None:
    quantize(DEMO, tmp_path / "again", "fp8", kv_cache="fp8")
    assert scan(tmp_path / "again").digest == scan(fp8[0]).digest


def test_a_damaged_checkpoint_loses_measurably_and_int8_leaves_activations_alone(
    fp8: tuple[Path, JobOutcome], quantize: Quantize, modelopt: Toolchain, tmp_path: Path
) -> None:
    command = [str(modelopt.python), str(DAMAGE), str(DEMO), str(tmp_path / "damaged"), "--noise", "0.3"]
    subprocess.run(command, check=True, capture_output=True)
    outcome = quantize(tmp_path / "damaged", tmp_path / "export", "int8_weight_only")
    whole = fp8[1].metrics["loss_before_nats_per_token"]
    assert outcome.metrics["loss_before_nats_per_token"] > whole + 0.2
    report = json.loads((tmp_path / "export/quantization_report.json").read_text())
    assert set(map(json.dumps, report["formats"].values())) == {'{"weight": "int8"}'}
    assert len(report["formats"]) == outcome.metrics["quantized_layers"] == 28


def test_an_unknown_architecture_is_refused_in_words(quantize: Quantize, tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "other")
    config = json.loads((DEMO / "config.json").read_text()) | {"architectures": ["MambaForCausalLM"]}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorkerRefused, match="architecture MambaForCausalLM") as refusal:
        quantize(tmp_path / "other", tmp_path / "export", "int8_weight_only")
    assert "LlamaForCausalLM" in refusal.value.fix
    assert not any((tmp_path / "export").iterdir())
