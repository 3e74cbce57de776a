"""Small files with an odd value at any key: pre-flight answers in sentences, never with an internal error."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.paths import E2E_SPEC, TESTS
from support.specs.gpu import gpu_variant

from engine_specs.preflight import SmallFiles, content_digest, examine, needs_content, prompt_facts, recognise
from engine_specs.spec import Shape, load_spec
from engine_specs.tables import load_config_defaults

SPEC = load_spec(E2E_SPEC)
CASES = yaml.load(
    (TESTS / "data" / "cases" / "checkpoints.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
)
FILES = {"config.json": 700, "tokenizer.json": 9, "model.safetensors": CASES["base_bytes"]}
# Fits any GPU, so that nothing smaller is looked for.
SHAPE = Shape(max_batch_size=1, max_input_len=100, max_seq_len=200, max_num_tokens=200)
VARIANT = gpu_variant(SPEC, "trt-plan", recipe="none", device=None, shape=SHAPE)
SCALINGS: list[Any] = [
    {"rope_type": name, **more}
    for name in ("linear", "yarn", "longrope", "unheard-of", ["x"])
    for more in ({}, {"factor": "4"}, {"factor": float("inf")}, {"factor": 1e-9}, {"short_factor": 1})
]
ODD: list[Any] = [
    None,
    0,
    -1,
    1,
    1.5,
    10**30,
    float("nan"),
    True,
    "",
    "4096",
    [],
    ["x"],
    [None],
    {},
    {"a": 1},
]
KEYS = (
    *("architectures", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "dtype"),
    *("torch_dtype", "rope_scaling", "rope_parameters", "layer_types", "sliding_window", "seq_length"),
    *("use_sliding_window", "max_window_layers", "num_local_experts", "num_experts", "num_experts_per_tok"),
    *("moe_intermediate_size", "quantization_config", "compression_config", "tie_word_embeddings"),
    *("transformers_version", "text_config", "model_max_length"),
)
FAMILIES = [
    CASES["base"] | {"architectures": [row.architecture], "model_type": row.model_type}
    for row in load_config_defaults().values()
    if row.model_type in ("mistral", "qwen3", "gemma3_text")
]
# Places in small files, whose values are odd in turn.
OF_MODELOPT = ("quantization", "quantization.quant_algo", "quantization.kv_cache_quant_algo")
LAYERS = ("", ".layer", ".layer.quant_algo")
GROUPS = ("", ".group", ".group.weights", ".group.weights.num_bits", ".group.input_activations")
OF_COMPRESSED = ("kv_cache_scheme", "kv_cache_scheme.type", *(f"config_groups{one}" for one in GROUPS))
OF_TOKENIZER = (
    *("pre_tokenizer", "pre_tokenizer.type", "pre_tokenizer.pretokenizers", "post_processor"),
    *("post_processor.single", "post_processor.processors", "model", "model.merges", "normalizer"),
)
OF_ITS_CONFIG = ("tokenizer_class", "bos_token", "bos_token.content", "chat_template", "add_bos_token")


def at(place: str, value: object) -> dict[str, Any]:
    """Mappings with a value at a place."""
    for key in reversed(place.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def judge(config: dict[str, Any], small: dict[str, dict[str, Any]]) -> list[str]:
    found = examine(SPEC, VARIANT, config, FILES, small=SmallFiles(json_files=small)).problems
    assert all(one.found.strip() and one.accepted.strip() for one in found)
    return [one.found for one in found]


@pytest.mark.parametrize("key", KEYS)
def test_any_value_of_config_is_judged_in_sentences(key: str) -> None:
    for family in FAMILIES:
        for value in (*ODD, *(SCALINGS if key.startswith("rope") else ())):
            judge(family | {key: value}, {})


def compressed(place: str, value: object) -> None:
    described = {"quant_method": "compressed-tensors"} | at(place, value)
    recognise({"quantization_config": described}, SmallFiles())


def modelopt(place: str, value: object) -> None:
    small = {"hf_quant_config.json": at(place, value)}
    assert any("already quantized" in one for one in judge(FAMILIES[0], small))
    recognise({}, SmallFiles(json_files=small))


def mixed(place: str, value: object) -> None:
    said = {"quant_algo": "MIXED_PRECISION", **at(place, value)}
    recognise({}, SmallFiles(json_files={"hf_quant_config.json": {"quantization": said}}))


def tokenizer(place: str, value: object) -> None:
    small = {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast"}}
    judge(FAMILIES[0], small | {"tokenizer.json": at(place, value)})
    prompt_facts(at(place, value), {}, None)
    content_digest(at(place, value))


def tokenizer_config(place: str, value: object) -> None:
    judge(FAMILIES[0], {"tokenizer_config.json": at(place, value)})
    prompt_facts({}, at(place, value), None)
    needs_content(at(place, value))


@pytest.mark.parametrize(
    ("read", "places"),
    [
        (compressed, OF_COMPRESSED),
        (modelopt, OF_MODELOPT),
        (mixed, [f"quantized_layers{one}" for one in LAYERS]),
        (tokenizer, OF_TOKENIZER),
        (tokenizer_config, OF_ITS_CONFIG),
    ],
)
def test_any_value_of_small_files_is_read(read: Callable[[str, object], None], places: list[str]) -> None:
    for place in places:
        for value in (*ODD, {"Sequence": {}}, [{"SpecialToken": None}], [[]]):
            read(place, value)
