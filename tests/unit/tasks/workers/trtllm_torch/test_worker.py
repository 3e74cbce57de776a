"""The worker's parts, each without a toolchain: checkpoint, cache, and the server that warms up."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.repositories import safetensors

from artifacts.hosts import EngineManifest
from engine_specs.spec import ResolvedVariant, Shape
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from tasks.kinds import kind_named
from tasks.workers.common.gpu_host import GpuFacts
from tasks.workers.common.hf_checkpoint import Checkpoint, copy_checkpoint, read_checkpoint
from tasks.workers.common.io import Refusal
from tasks.workers.common.json_files import write_yaml
from tasks.workers.common.tool_command import ToolCommand
from tasks.workers.trtllm_torch.request import TrtllmTorchAdmission, TrtllmTorchParams, WarmUp
from tasks.workers.trtllm_torch.tree import Tuned, read_tuned, torch_manifest
from tasks.workers.trtllm_torch.warm_up import warm_up

FACTS = load_kinds()["trtllm-torch"]
GPU = GpuFacts("NVIDIA B200", "10.0", "580.95.05", 2)
ASKED = TrtllmTorchAdmission(
    architectures=("LlamaForCausalLM",),
    quant_algos=("NVFP4",),
    layer_quant_algos=("FP8", "NVFP4"),
    kv_cache_quant_algos=("FP8",),
)
HEALTH = WarmUp("/health", "model")
METADATA: dict[str, Any] = {
    "lib_version": "1.4.0rc1",
    "creation_timestamp": 1.0,
    "device_name": "NVIDIA B200",
    "device_capability": [10, 0],
}
CHOICE = {"('op', 'Runner', '()', ((8, 16),))": {"runner_id": 0, "tactic": "1", "min_time": 0.1}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write(folder / "config.json", {"architectures": ["LlamaForCausalLM"]})
    write(folder / "hf_quant_config.json", quantization("NVFP4", "FP8"))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors({"w": (2, 2)}))
    return folder


def quantization(algo: str | None, cache: str | None, **more: Any) -> dict[str, Any]:
    return {
        "producer": {"name": "modelopt", "version": "0.47.0"},
        "quantization": {"quant_algo": algo, "kv_cache_quant_algo": cache, **more},
    }


def write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def test_a_quantized_checkpoint_is_read(checkpoint: Path) -> None:
    read = read_checkpoint(checkpoint, ASKED)
    assert (read.architecture, read.quant_algo, read.kv_cache_quant_algo) == (
        "LlamaForCausalLM", "NVFP4", "FP8",
    )  # fmt: skip


def test_an_unquantized_checkpoint_has_no_quantization_file(checkpoint: Path) -> None:
    (checkpoint / "hf_quant_config.json").unlink()
    plain = replace(ASKED, quant_algos=(None,), kv_cache_quant_algos=(None,))
    assert read_checkpoint(checkpoint, plain).quant_algo is None
    with pytest.raises(Refusal, match=r"quant_algo is nothing; .* need NVFP4"):
        read_checkpoint(checkpoint, ASKED)


def test_layers_with_formats_of_their_own_are_read(checkpoint: Path) -> None:
    layers = {"model.layers.0.mlp.up_proj": {"quant_algo": "W8A8_SQ_PER_CHANNEL"}}
    mixed = quantization("MIXED_PRECISION", "FP8", quantized_layers=layers)
    write(checkpoint / "hf_quant_config.json", mixed)
    with pytest.raises(Refusal, match=r"up_proj is W8A8_SQ_PER_CHANNEL.*need FP8 or NVFP4"):
        read_checkpoint(checkpoint, replace(ASKED, quant_algos=("MIXED_PRECISION",)))
    layers["model.layers.0.mlp.up_proj"]["quant_algo"] = "FP8"
    write(
        checkpoint / "hf_quant_config.json", quantization("MIXED_PRECISION", "FP8", quantized_layers=layers)
    )
    read_checkpoint(checkpoint, replace(ASKED, quant_algos=("MIXED_PRECISION",)))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("hf_quant_config.json", quantization("FP8", "FP8"), "quant_algo is FP8"),
        ("hf_quant_config.json", quantization("NVFP4", None), "kv_cache_quant_algo is nothing"),
        ("hf_quant_config.json", {"quant_algo": "NVFP4"}, "no mapping `quantization`"),
        ("hf_quant_config.json", [], "is not a JSON object"),
        ("config.json", {"architectures": ["MambaForCausalLM"]}, "this kind serves LlamaForCausalLM"),
        ("model.safetensors.index.json", {"weight_map": {"w": "part-2.safetensors"}}, "lacks part-2"),
    ],
)
def test_a_checkpoint_that_the_tool_would_not_load_is_refused(
    checkpoint: Path, file: str, content: object, said: str
) -> None:
    write(checkpoint / file, content)
    with pytest.raises(Refusal, match=said):
        read_checkpoint(checkpoint, ASKED)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_checkpoint_with_a_file_missing_is_refused(checkpoint: Path, file: str) -> None:
    (checkpoint / file).unlink()
    with pytest.raises(Refusal) as caught:
        read_checkpoint(checkpoint, ASKED)
    assert caught.value.failure == "input"


def test_a_checkpoint_that_was_quantized_by_something_else_is_refused(checkpoint: Path) -> None:
    (checkpoint / "hf_quant_config.json").unlink()
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "gptq"}}
    write(checkpoint / "config.json", config)
    with pytest.raises(Refusal, match="quantized but has no hf_quant_config"):
        read_checkpoint(checkpoint, replace(ASKED, quant_algos=(None,)))


@pytest.mark.parametrize("method", ["mxfp4", "fp8", "compressed-tensors"])
def test_a_checkpoint_may_name_its_method_in_its_config_alone(checkpoint: Path, method: str) -> None:
    (checkpoint / "hf_quant_config.json").unlink()
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": method}}
    write(checkpoint / "config.json", config)
    taken = replace(ASKED, quant_algos=("NVFP4", method), kv_cache_quant_algos=(None,))
    assert read_checkpoint(checkpoint, taken).quant_algo == method
    with pytest.raises(Refusal, match=f"quant_algo is {method}; .* need NVFP4"):
        read_checkpoint(checkpoint, ASKED)


def test_the_output_owns_its_bytes(checkpoint: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        file.chmod(0o444)
    output = tmp_path / "output"
    output.mkdir()
    (checkpoint / "extra").mkdir()
    (checkpoint / "extra" / "empty").touch()
    copied = copy_checkpoint(checkpoint, output)
    names = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    assert names == sorted(str(p.relative_to(checkpoint)) for p in checkpoint.rglob("*") if p.is_file())
    for name in names:
        assert (output / name).read_bytes() == (checkpoint / name).read_bytes()
        assert not (output / name).samefile(checkpoint / name)
    assert copied == sum((output / name).stat().st_size for name in names)
    (output / "config.json").write_text("{}")  # its own, and writable
    assert (checkpoint / "config.json").read_text() != "{}"


def test_a_kernel_that_copies_between_no_file_systems_is_done_without(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "output").mkdir()
    copy_checkpoint(checkpoint, tmp_path / "output")
    copy = tmp_path / "output" / "model.safetensors"
    assert copy.read_bytes() == (checkpoint / "model.safetensors").read_bytes()


def test_what_was_tuned_is_read(tmp_path: Path) -> None:
    write(tmp_path / "t" / "cache.json", {"metadata": METADATA, "rank_0": CHOICE, "rank_1": {}})
    assert read_tuned(tmp_path, "t/cache.json", "d", GPU, "1.4.0rc1") == Tuned("t/cache.json", "d", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "left no autotuner cache"),
        ({}, "has an unknown form"),
        ([], "has an unknown form"),
        ({"metadata": METADATA}, "no rank's choices"),
        ({"metadata": METADATA | {"device_name": "NVIDIA H200"}, "rank_0": {}}, "for NVIDIA H200, 10.0"),
        ({"metadata": METADATA | {"device_capability": [9, 0]}, "rank_0": {}}, "for NVIDIA B200, 9.0"),
        ({"metadata": METADATA | {"lib_version": "1.3.0rc22"}, "rank_0": {}}, "1.3.0rc22; this is"),
    ],
)
def test_a_cache_that_is_not_of_this_build_is_refused(tmp_path: Path, content: object, said: str) -> None:
    if content is not None:
        write(tmp_path / "t" / "cache.json", content)
    with pytest.raises(Refusal, match=said):
        read_tuned(tmp_path, "t/cache.json", "d", GPU, "1.4.0rc1")


def test_the_manifest_is_one_and_names_what_was_measured(tmp_path: Path) -> None:
    variant = ResolvedVariant(
        name="v",
        target=load_targets()["b200"],
        tensor_parallel=2,
        engine=Engine(
            kind="trtllm-torch",
            options={row.name: row.default for row in load_kinds()["trtllm-torch"].options},
        ),
        quantization=Quantization(recipe="nvfp4", kv_cache="fp8", device="cuda"),
        shape=Shape(max_batch_size=4, max_input_len=64, max_seq_len=128, max_num_tokens=128),
    )
    params = kind_named("trtllm-torch").build_job(variant).params
    assert isinstance(params, TrtllmTorchParams)
    digest = write_yaml(tmp_path / "llm_args.yaml", params.llm_args)
    judged = Checkpoint(tmp_path, "LlamaForCausalLM", "NVFP4", "FP8", "1" * 64)
    tools = {"tensorrt_llm": "1.4.0rc1", "torch": "2.14.0", "transformers": "5.5.4", "cuda": "13.0"}
    tuned = Tuned("autotuner/cache.json", digest, 3)
    asked = replace(params, toolchains={"build": "0" * 64}, driver_floor="580")
    written = torch_manifest(asked, judged, tuned, GPU, tools)
    read = EngineManifest.model_validate(written, strict=False)
    assert read.tuning is not None
    assert read.tuning.config_sha256 == digest
    assert (read.tuning.gpu_name, read.tuning.tensor_parallel) == ("NVIDIA B200", 2)
    assert read.requires.gpu_names == ("NVIDIA B200",)
    assert (read.requires.gpu_count, read.requires.driver_floor) == (2, "580")
    assert read.built_on is not None
    assert (read.built_on.driver, read.built_on.cuda) == ("580.95.05", "13.0")
    assert read.serve == kind_named("trtllm-torch").serve_command(variant)


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        self.send_response(int(sys.argv[2])); self.end_headers(); self.wfile.write(sys.argv[3].encode())
    def log_message(self, *_): pass
print("loading", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def served(tmp_path: Path, *arguments: str) -> float:
    command = ToolCommand("warm-up", ("{python}", "-c", *arguments), {"SEEN": "{output}/cache"})
    return warm_up(command, HEALTH, {"output": str(tmp_path), "scratch": str(tmp_path)})


def test_a_server_that_answers_warms_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = SERVER.replace("{", "{{").replace("}", "}}")
    assert served(tmp_path, script, "{port}", "200", '{{"choices": [{{"text": " 4"}}]}}') >= 0
    assert "loading" in capfd.readouterr().out


def test_a_server_that_answers_wrongly_is_reported_with_its_answer(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="500: the executor has died") as caught:
        served(tmp_path, SERVER, "{port}", "500", "the executor has died")
    assert caught.value.failure == "regression"


def test_a_server_that_ends_is_reported_with_its_last_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="RuntimeError: no kernel image"):
        served(tmp_path, "raise RuntimeError('no kernel image')")
    with pytest.raises(Refusal, match="SIGKILL") as caught:
        served(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert caught.value.failure == "out-of-memory"


def test_a_toolchain_without_the_program_is_refused(tmp_path: Path) -> None:
    command = ToolCommand("warm-up", ("{bin}/trtllm-nothing", "{output}"), {})
    with pytest.raises(Refusal, match="no program trtllm-nothing"):
        warm_up(command, HEALTH, {"output": str(tmp_path), "scratch": str(tmp_path)})
    assert Path(sys.executable).is_file()
