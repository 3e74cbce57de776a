"""What the worker of trt-plan notices before and after the tool runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import trtllm_checkpoints

from tasks.kinds.trt_plan.kind import admission
from tasks.workers.common.io import Refusal
from tasks.workers.trt_plan.checkpoint import read_checkpoint
from tasks.workers.trt_plan.engine import read_engine, require_version
from tasks.workers.trt_plan.request import Asked, Target, Tool, TrtPlanParams, WantedCheckpoint
from tasks.workers.trt_plan.tree import copy_tokenizer

WANTED = WantedCheckpoint(
    tensor_parallel=2, pipeline_parallel=1, quant_algo="FP8", kv_cache_quant_algo="FP8", layer_quant_algos=()
)
MIXED = replace(
    WANTED,
    quant_algo="MIXED_PRECISION",
    kv_cache_quant_algo=None,
    layer_quant_algos=("FP8", "W4A16_AWQ", "W4A8_AWQ"),
)
PARAMS = TrtPlanParams(
    kind="trt-plan",
    recipe="fp8",
    checkpoint=WANTED,
    target=Target("x86_64", "9.0", ("NVIDIA H100 80GB HBM3",)),
    tool=Tool("1.2"),
    driver_floor="580",
    asked=Asked(
        sizes={"max_batch_size": 8, "max_num_tokens": 256},
        features={"reduce_fusion": True, "use_fused_mlp": True, "of_another_version": True},
    ),
    llm_args={},
    args_file="llm_args.yaml",
    commands=(),
    serve={},
)
READS = admission()
Damage = Callable[[Path], object]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    document = trtllm_checkpoints.config(quant_algo="FP8", kv_algo="FP8", tensor_parallel=2)
    return trtllm_checkpoints.write(tmp_path / "checkpoint", document)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    directory = tmp_path / "engine"
    directory.mkdir()
    for rank in range(2):
        (directory / f"rank{rank}.engine").write_bytes(b"plan")
    (directory / "config.json").write_text(json.dumps(engine_config()))
    return directory


def engine_config() -> dict[str, Any]:
    return {
        "version": "1.2.1",
        "pretrained_config": {
            "mapping": {"world_size": 2, "tp_size": 2, "pp_size": 1},
            "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        },
        "build_config": {
            "max_batch_size": 8,
            "max_num_tokens": 256,
            "kv_cache_type": "PAGED",
            "plugin_config": {"reduce_fusion": True, "use_fused_mlp": True},
        },
    }


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def config_with(**changes: Any) -> Damage:
    return lambda directory: rewrite(directory / "config.json", lambda config: config.update(changes))


def cut(name: str, by: int) -> Damage:
    return lambda directory: (directory / name).write_bytes((directory / name).read_bytes()[:-by])


def test_a_whole_checkpoint_is_read(checkpoint: Path) -> None:
    read = read_checkpoint(checkpoint, WANTED, READS)
    assert read.architecture == "LlamaForCausalLM"
    assert read.weights_bytes == sum(path.stat().st_size for path in checkpoint.glob("rank*"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "config.json").unlink(), "there is no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "is not JSON"),
        (lambda d: (d / "config.json").write_text("[]"), "not a JSON object"),
        (lambda d: (d / "config.json").write_text('{"model_type": "llama"}'), "not that of a TensorRT-LLM"),
        (lambda d: (d / "rank1.safetensors").unlink(), "ranks are missing: rank1.safetensors"),
        (lambda d: (d / "rank2.safetensors").write_bytes(b""), "more ranks than 2: rank2"),
        (cut("rank1.safetensors", 1), "it is truncated"),
        (cut("rank0.safetensors", 100_000), "it is truncated"),
        (lambda d: (d / "rank0.safetensors").write_bytes(b"\0\0"), "not a safetensors file"),
        (lambda d: (d / "rank0.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}"), "it is truncated"),
        (lambda d: (d / "tokenizer.json").unlink(), "no tokenizer.json"),
        (config_with(mapping={"world_size": 1, "tp_size": 1, "pp_size": 1}), "divided for world_size 1"),
        (config_with(quantization={"quant_algo": "W8A16"}), "quant_algo of the checkpoint is W8A16"),
        (config_with(quantization={"quant_algo": "FP8"}), "kv_cache_quant_algo of the checkpoint is None"),
    ],
)
def test_a_checkpoint_that_is_not_whole_or_another_is_refused(
    checkpoint: Path, damage: Damage, said: str
) -> None:
    damage(checkpoint)
    with pytest.raises(Refusal) as caught:
        read_checkpoint(checkpoint, WANTED, READS)
    assert said in caught.value.what
    assert caught.value.failure == "input"
    assert caught.value.fix


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    document = trtllm_checkpoints.config(quant_algo="MIXED_PRECISION", tensor_parallel=2)
    return trtllm_checkpoints.write(tmp_path / "mixed", document)


def test_a_checkpoint_whose_layers_have_formats_of_their_own_is_read(mixed: Path) -> None:
    assert read_checkpoint(mixed, MIXED, READS).architecture == "LlamaForCausalLM"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "quant_cfg.json").unlink(), "there is no quant_cfg.json"),
        (lambda d: (d / "quant_cfg.json").write_text("{}"), "its layers have no formats"),
        (config_with(quantization={"quant_algo": "FP8"}), "the search chose FP8 for every layer"),
        (config_with(quantization={"quant_algo": "NVFP4"}), "quant_algo of the checkpoint is NVFP4"),
    ],
)
def test_layers_that_are_not_what_the_search_may_choose_are_refused(
    mixed: Path, damage: Damage, said: str
) -> None:
    damage(mixed)
    with pytest.raises(Refusal) as caught:
        read_checkpoint(mixed, MIXED, READS)
    assert said in caught.value.what
    assert caught.value.failure == "input"
    assert caught.value.fix


def test_layers_in_formats_that_were_no_candidates_are_refused(mixed: Path) -> None:
    with pytest.raises(Refusal, match="its layers have FP8, W4A16_AWQ, W4A8_AWQ, not FP8, W4A16_AWQ"):
        read_checkpoint(mixed, replace(MIXED, layer_quant_algos=("FP8", "W4A16_AWQ")), READS)


def test_a_tokenizer_of_transformers_5_is_refused(checkpoint: Path) -> None:
    rewrite(checkpoint / "tokenizer_config.json", lambda c: c.update(tokenizer_class="TokenizersBackend"))
    with pytest.raises(Refusal, match="from transformers 5") as caught:
        read_checkpoint(checkpoint, WANTED, READS)
    assert "trtllm-torch" in caught.value.fix


def test_an_engine_that_is_what_was_asked_is_read(engine: Path) -> None:
    read = read_engine(engine, PARAMS)
    assert read.sizes == PARAMS.asked.sizes
    assert (read.version, read.rank_bytes, read.unreported) == ("1.2.1", [4, 4], ["of_another_version"])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "config.json").unlink(), "there is no config.json"),
        (
            lambda d: (d / "config.json").write_text('{"version": "1.2.1"}'),
            "no pretrained_config, build_config",
        ),
        (config_with(version="1.1.0"), "TensorRT-LLM 1.1.0; engines of this kind are those of 1.2"),
        (config_with(version="1.20.0"), "TensorRT-LLM 1.20.0"),
        (config_with(version="1.2.1+stand-in"), "TensorRT-LLM 1.2.1+stand-in"),
        (lambda d: (d / "rank1.engine").unlink(), "missing or empty: rank1.engine"),
        (lambda d: (d / "rank0.engine").write_bytes(b""), "missing or empty: rank0.engine"),
        (lambda d: (d / "rank2.engine").write_bytes(b"plan"), "more ranks than 2: rank2.engine"),
    ],
)
def test_an_engine_that_is_not_whole_or_of_another_version_is_refused(
    engine: Path, damage: Damage, said: str
) -> None:
    damage(engine)
    with pytest.raises(Refusal) as caught:
        read_engine(engine, PARAMS)
    assert said in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize(
    ("where", "changes", "said"),
    [
        (("build_config",), {"max_num_tokens": 128}, "max_num_tokens 256 became 128"),
        (("build_config",), {"kv_cache_type": "KVCacheType.CONTINUOUS"}, "KV cache is continuous, not paged"),
        (("build_config", "plugin_config"), {"reduce_fusion": False}, "reduce_fusion on became off"),
        (("pretrained_config", "mapping"), {"tp_size": 1}, "tensor_parallel 1, not 2"),
        (("pretrained_config", "quantization"), {"quant_algo": None}, "quant_algo None, not FP8"),
    ],
)
def test_an_engine_that_the_tool_changed_is_refused(
    engine: Path, where: tuple[str, ...], changes: dict[str, Any], said: str
) -> None:
    def change(document: dict[str, Any]) -> None:
        for key in where:
            document = document[key]
        document.update(changes)

    rewrite(engine / "config.json", change)
    with pytest.raises(Refusal) as caught:
        read_engine(engine, PARAMS)
    assert said in caught.value.what
    assert caught.value.failure == "regression"


def test_a_stand_ins_version_passes_only_where_it_is_declared() -> None:
    require_version("1.2.1+stand-in", "1.2", stand_in=True)
    require_version("1.2.1.post1", "1.2", stand_in=False)
    with pytest.raises(Refusal, match="stand-in"):
        require_version("1.2.1+stand-in", "1.2", stand_in=False)
    with pytest.raises(Refusal, match=r"1\.1\.0"):
        require_version("1.1.0", "1.2", stand_in=True)


@pytest.mark.parametrize("settings", [None, {}, {"bos_token": "<s>"}, {"tokenizer_class": None}])
def test_a_tokenizer_without_a_class_gets_the_one_that_reads_its_file(
    checkpoint: Path, tmp_path: Path, settings: dict[str, Any] | None
) -> None:
    path = checkpoint / "tokenizer_config.json"
    path.unlink() if settings is None else path.write_text(json.dumps(settings))
    (tmp_path / "tree").mkdir()
    copy_tokenizer(checkpoint, tmp_path / "tree")
    written = json.loads((tmp_path / "tree" / "tokenizer_config.json").read_text())
    assert written == {**(settings or {}), "tokenizer_class": "PreTrainedTokenizerFast"}


def test_the_tokenizer_is_copied_and_the_checkpoints_config_is_not(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert copy_tokenizer(checkpoint, tmp_path / "tree") == ["tokenizer.json", "tokenizer_config.json"]
    assert (tmp_path / "tree" / "tokenizer.json").read_bytes() == (checkpoint / "tokenizer.json").read_bytes()
    assert not (tmp_path / "tree" / "config.json").exists()
