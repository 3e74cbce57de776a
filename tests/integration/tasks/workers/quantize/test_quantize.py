"""The quantize worker as the pipeline runs it, on the demo checkpoint, with the real ModelOpt."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.checkpoints.quantization.cases import DEMO, Case, write_texts
from support.toolchains.workers import staged

from artifacts.settings import Settings
from engine_specs.tables import load_recipes
from tasks.errors import WorkerRefused
from tasks.stages.quantize import WORKER, admission, request_params
from tasks.toolchains import JobOutcome, Toolchain, ensure, run_job
from tasks.workers.common.requests import Request

pytestmark = pytest.mark.toolchain

FP8 = Case("trtllm-torch", "LlamaForCausalLM", "fp8", "fp8")

Quantize = Callable[..., JobOutcome]


@pytest.fixture(scope="module")
def modelopt() -> Toolchain:
    return ensure("modelopt-cpu", Settings())


@pytest.fixture(scope="module")
def quantize(modelopt: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Quantize:
    """Run the worker over a checkpoint; `output` is a new directory."""
    texts = tmp_path_factory.mktemp("texts")
    write_texts(texts)
    with (texts / "texts.jsonl").open("a") as stream:
        stream.write('{"id": "short", "text": "a"}\n')

    def run(checkpoint: Path, output: Path) -> JobOutcome:
        output.mkdir()
        inputs = {"checkpoint": checkpoint, "calibration": texts}
        params = request_params(FP8.variant(), None, texts)
        request = Request(params, admission(FP8.variant()), inputs, output)
        log = tmp_path_factory.mktemp("log") / "worker.log"
        worker = staged(log.with_name("worker"), WORKER)
        return run_job(modelopt, worker, request, log=log, on_line=lambda _line: None, time_limit_s=300)

    return run


@pytest.fixture(scope="module")
def fp8(quantize: Quantize, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobOutcome]:
    output = tmp_path_factory.mktemp("fp8") / "export"
    return output, quantize(DEMO, output)


@pytest.mark.parametrize("named", ["LlamaTokenizerFast", "Qwen2Tokenizer"])
def test_a_class_that_reads_the_tokenizer_differently_is_refused_before_the_weights_are_read(
    quantize: Quantize, tmp_path: Path, named: str
) -> None:
    shutil.copytree(DEMO, tmp_path / "other")
    settings = tmp_path / "other" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": named}))
    with pytest.raises(WorkerRefused, match="makes other tokens of"):
        quantize(tmp_path / "other", tmp_path / "export")


def test_an_fp8_export_is_half_as_large_loses_little_and_says_so(fp8: tuple[Path, JobOutcome]) -> None:
    output, outcome = fp8
    report = json.loads((output / "quantization_report.json").read_text())
    assert report["weight_bytes_before"] == sum(f.stat().st_size for f in DEMO.glob("*.safetensors"))
    assert 0.5 < report["weight_bytes_after"] / report["weight_bytes_before"] < 0.6
    assert report["formats"]["model.layers.0.mlp.up_proj"] == {"input": "e4m3", "weight": "e4m3"}
    assert report["formats"]["model.layers.0.self_attn"] == {"k_bmm": "e4m3", "v_bmm": "e4m3"}
    assert report["format_bits"] == {"e4m3": 8}
    assert report["left_out"] == ["lm_head", "model.embed_tokens"] == sorted(load_recipes()["fp8"].left_out)
    assert len(set(report["calibration_ids"])) == 4
    assert report["calibration_left_out"] == ["short"]
    assert 0 < abs(report["loss_after_nats_per_token"] - report["loss_before_nats_per_token"]) < 0.05
    assert outcome.metrics["weight_bytes_after"] == report["weight_bytes_after"]
    assert outcome.metrics["quantized_layers"] == len(report["formats"]) == 4 * 8
    assert outcome.tools["nvidia-modelopt"]


def test_an_export_brings_the_checkpoints_own_side_files_along(fp8: tuple[Path, JobOutcome]) -> None:
    output, _ = fp8
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (output / name).read_bytes() == (DEMO / name).read_bytes()
    assert not (output / "pytorch_model.bin").exists()


def test_an_unknown_architecture_is_refused_in_words(quantize: Quantize, tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "other")
    config = json.loads((DEMO / "config.json").read_text()) | {"architectures": ["MambaForCausalLM"]}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorkerRefused, match="architecture MambaForCausalLM") as refusal:
        quantize(tmp_path / "other", tmp_path / "export")
    assert "LlamaForCausalLM" in refusal.value.fix
    assert not any((tmp_path / "export").iterdir())
