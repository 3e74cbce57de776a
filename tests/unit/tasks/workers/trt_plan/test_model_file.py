"""Every export is held against what the tool's model files read, before the tool starts."""

from copy import deepcopy
from typing import Any

import pytest
from support.checkpoints import trtllm_checkpoints
from support.standin.trtllm.rules import read_model
from support.standin.trtllm.toolchain import interfaces

from engine_specs.preflight import vendored_checkpoint
from engine_specs.tables import load_kinds, load_model_files
from tasks.kinds.trt_plan.kind import admission
from tasks.workers.common.io import Refusal
from tasks.workers.quantize.trtllm_config import completed
from tasks.workers.trt_plan.model_file import require_readable

READS, TABLE = admission(), load_model_files()
MODEL_FILES = interfaces()["model-files"]
ARCHITECTURES = load_kinds()["trt-plan"].architecture_names
# What ModelOpt 0.37 writes next to the keys of its own layout; `completed` adds the rest.
WRITTEN = (
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "hidden_act",
)


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    """A copy without the value at a key with dots."""
    copy = deepcopy(document)
    holder, (*path, last) = copy, key.split(".")
    for part in path:
        holder = holder[part]
    del holder[last]
    return copy


def test_every_architecture_of_the_kind_has_a_model_file_and_no_other_has() -> None:
    named = [name for row in TABLE.model_files for name in row.architectures]
    assert sorted(named) == sorted(ARCHITECTURES)
    assert TABLE.reads_of("MambaForCausalLM") is None


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_a_model_file_reads_is_required_of_its_checkpoints(architecture: str) -> None:
    document = trtllm_checkpoints.config(architecture)
    require_readable(document, READS)
    row = TABLE.reads_of(architecture)
    assert row is not None
    for key in (*row.required, *row.stated):
        if key == "architecture":
            continue
        with pytest.raises(Refusal) as caught:
            require_readable(without(document, key), READS)
        assert key in caught.value.what
        assert row.file in caught.value.what
    for key, right in row.values.items():
        wrong = document | {key: not right if isinstance(right, bool) else "other"}
        with pytest.raises(Refusal, match=f"{key} is"):
            require_readable(wrong, READS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "MambaForCausalLM"}, "no model file of the tool is known to read MambaForCausalLM"),
        ({"rotary_scaling": {"rope_type": "default"}}, "rotary_scaling is of type 'default'"),
        (
            {"quantization": {"quant_algo": None, "kv_cache_quant_algo": None, "other": 1}},
            "keys that the tool refuses: other",
        ),
    ],
)
def test_names_that_the_tool_does_not_know_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        require_readable(trtllm_checkpoints.config() | changes, READS)
    assert said in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_whatever_ends_the_stand_in_is_refused_before_it_starts(architecture: str) -> None:
    document = trtllm_checkpoints.config(architecture)
    row = next(one for one in MODEL_FILES["model_files"] if architecture in one["architectures"])
    keys = {key.split(".")[0] for key in row.get("required", ())}
    read_model(document, MODEL_FILES)
    for key in keys:
        with pytest.raises(AttributeError, match=f"{row['config_class']}.*{key}"):
            read_model(without(document, key), MODEL_FILES)
        with pytest.raises(Refusal):
            require_readable(without(document, key), READS)


def test_the_export_of_qwen3_8b_is_what_its_model_file_reads() -> None:
    known = vendored_checkpoint("Qwen/Qwen3-8B")
    assert known is not None
    source = known.config
    same = {key: source[key] for key in WRITTEN}
    written = same | {
        "architecture": "Qwen3ForCausalLM",
        "dtype": "bfloat16",
        "norm_epsilon": source["rms_norm_eps"],
        "head_size": source["head_dim"],
        "position_embedding_type": "rope_gpt_neox",
        "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]},
    }
    config = completed(written, source, "qwen", {"quant_algo": None, "kv_cache_quant_algo": "FP8"})
    require_readable(config, READS)
    assert (config["seq_length"], config["use_logn_attn"], config["qwen_type"]) == (8192, False, "qwen3")
    assert (config["head_size"], config["attn_bias"]) == (128, False)
    assert "rotary_scaling" not in config
