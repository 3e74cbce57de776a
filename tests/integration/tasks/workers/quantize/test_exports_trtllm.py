"""What ModelOpt 0.37 exports in TensorRT-LLM's layout, for one device and for two."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.quantization.cases import DEMO, Case, run_matrix
from support.standin.trtllm.tensors import expected, optional

from artifacts.settings import Settings
from engine_specs.spec import RecipeFile, RecipeSearch
from engine_specs.tables import load_kinds, load_kv_caches, load_recipes
from tasks.kinds.trt_plan.kind import admission
from tasks.toolchains import ensure
from tasks.workers.trt_plan.model_file import require_readable

pytestmark = pytest.mark.toolchain

LLAMA, QWEN_2, QWEN_3 = "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"
GEMMA_2, MIXTRAL = "Gemma2ForCausalLM", "MixtralForCausalLM"
# rms_norm_eps of transformers 4.57, whose keys are left out where they have their default.
EPSILON = (1e-6, 1e-5)
PLAIN = ("none", "int8_weight_only")  # weights stay as they are; for the second the builder makes them small


def trt(
    architecture: str, recipe: str, kv_cache: str = "none", tp: int = 2, pp: int = 1, **more: Any
) -> Case:
    return Case("trt-plan", architecture, recipe, kv_cache, tp, pp, more=more)


LLAMAS = [
    trt(LLAMA, recipe, kv_cache, tp)
    for recipe, kv_cache in (
        ("none", "none"),
        ("int8_weight_only", "int8"),
        ("int8_smoothquant", "int8"),
        ("fp8", "fp8"),
        ("fp8_per_channel_per_token", "none"),
        ("int4_awq", "none"),
        ("w4a8_awq", "none"),
    )
    for tp in (1, 2)
]
OTHERS = [
    trt(LLAMA, "fp8", "nvfp4", tp=1),
    trt(LLAMA, "fp8", tp=1, pp=2),
    trt("MistralForCausalLM", "fp8"),
    trt(MIXTRAL, "none"),
    trt(MIXTRAL, "fp8", "fp8"),
    *(trt(QWEN_2, recipe) for recipe in ("none", "fp8", "int8_smoothquant", "int4_awq")),
    *(trt(QWEN_3, recipe) for recipe in ("none", "fp8")),
    *(trt(GEMMA_2, recipe) for recipe in ("none", "fp8", "int8_smoothquant")),
]
CASES = LLAMAS + OTHERS
AGAIN = replace(trt(MIXTRAL, "fp8", "fp8"), label="again")
SEARCH = trt(LLAMA, "auto", search=RecipeSearch(effective_bits=7.0, candidates=("fp8", "int4_awq")))
# What upstream's own test mixes in a plan.
THREE = RecipeSearch(effective_bits=6.2, candidates=("fp8", "int4_awq", "w4a8_awq"))
OF_THREE = replace(trt(LLAMA, "auto", "fp8", search=THREE), label="three")
BY_LOGITS = RecipeSearch(effective_bits=7.0, candidates=("fp8", "int4_awq"), method="kl_div")
RECIPE = b"quantize: {algorithm: max, quant_cfg: []}"
PINNED = RecipeFile(path="recipe.yaml", sha256=hashlib.sha256(RECIPE).hexdigest())
FROM_FILE = trt(LLAMA, "modelopt_file", tp=1, file=PINNED)
SAVED_BY_5 = Case("trt-plan", LLAMA, "fp8", label="demo", checkpoint=DEMO)
REFUSED = [
    (trt(LLAMA, "auto", tp=1, search=BY_LOGITS), "searches only by gradient", "search.method"),
    (trt(LLAMA, "nvfp4"), "ModelOpt 0.37 cannot do nvfp4 on cpu", "quantization.device to cuda"),
    (trt(MIXTRAL, "w4a8_awq", tp=8), "on each of 8 devices", "fewer devices"),
    (FROM_FILE, "ModelOpt 0.37.0 does not read recipe files", "quantizes with 0.47"),
    (SAVED_BY_5, "rope_parameters in config.json", "rope_theta"),
]

# Types of tensors by torch, and by safetensors.
STORED_AS = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "float8_e4m3fn": "F8_E4M3", "int8": "I8"}
# Weight and scales of mlp.proj, [256, 512], on one device, as they are stored.
ONE = ["float32", 1]
STORED: dict[str, dict[str, list[Any]]] = {
    "none": {"weight": ["bfloat16", 256, 512]},
    "int8_weight_only": {"weight": ["bfloat16", 256, 512]},
    "int8_smoothquant": {
        "weight": ["int8", 256, 512],
        "weights_scaling_factor": ["float32", 256],
        "activation_scaling_factor": ONE,
        "prequant_scaling_factor": ["bfloat16", 512],
    },
    "fp8": {
        "weight": ["float8_e4m3fn", 256, 512],
        "weights_scaling_factor": ONE,
        "activation_scaling_factor": ONE,
    },
    "fp8_per_channel_per_token": {
        "weight": ["float8_e4m3fn", 256, 512],
        "per_channel_scale": ["float32", 256],
    },
    "int4_awq": {
        "weight": ["int8", 128, 512],
        "weights_scaling_factor": ["float32", 256, 4],
        "prequant_scaling_factor": ["bfloat16", 512],
    },
    "w4a8_awq": {
        "weight": ["int8", 128, 512],
        "weights_scaling_factor": ["float32", 256, 4],
        "weights_scaling_factor_2": ONE,
        "activation_scaling_factor": ONE,
        "prequant_scaling_factor": ["bfloat16", 512],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports-trtllm")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict[str, Any]]:
    (folder / "recipe.yaml").write_bytes(RECIPE)
    cases = [*CASES, AGAIN, SEARCH, OF_THREE, *(case for case, _, _ in REFUSED)]
    return run_matrix(ensure("modelopt-0.37-cpu", Settings()), cases, folder)


def config_of(folder: Path, case: Case) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / case.name / "config.json").read_text())
    return content


def source_of(folder: Path, case: Case) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / case.name / "hf_config.json").read_text())
    return content


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_part_of_every_weight_comes_back_within_what_its_format_allows(
    case: Case, found: dict[str, dict[str, Any]]
) -> None:
    errors = found[case.name]["errors"]
    matrices = 2 + 2 * 4 if case.architecture == MIXTRAL else 5
    assert len(errors) == 2 * matrices * case.tensor_parallel
    assert max(errors.values()) <= 1
    assert (min(errors.values()) > 0.5) == (case.recipe not in PLAIN)
    assert (max(errors.values()) == 0) == (case.recipe in PLAIN)
    assert found[case.name]["kept"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_config_json_has_what_the_builder_reads(
    case: Case, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    assert "errors" in found[case.name]
    config, source = config_of(folder, case), source_of(folder, case)
    recipe, kv_cache = load_recipes()[case.recipe], load_kv_caches()[case.kv_cache]
    assert config["architecture"] == case.architecture
    assert (config["dtype"], config["logits_dtype"]) == ("bfloat16", "float32")
    assert config["quantization"]["quant_algo"] == recipe.quant_algo
    assert config["quantization"]["kv_cache_quant_algo"] == kv_cache.quant_algo
    mapping = {"world_size": case.tensor_parallel * case.pipeline_parallel}
    mapping |= {"tp_size": case.tensor_parallel, "pp_size": case.pipeline_parallel}
    assert mapping.items() <= config["mapping"].items()
    assert config["rotary_base"] == source.get("rope_theta", 10_000.0)
    assert config.get("rotary_scaling") == source.get("rope_scaling")
    for ours, theirs in (
        ("hidden_size", "hidden_size"),
        ("intermediate_size", "intermediate_size"),
        ("num_hidden_layers", "num_hidden_layers"),
        ("num_attention_heads", "num_attention_heads"),
        ("num_key_value_heads", "num_key_value_heads"),
        ("vocab_size", "vocab_size"),
        ("max_position_embeddings", "max_position_embeddings"),
        ("norm_epsilon", "rms_norm_eps"),
    ):
        assert config[ours] == source.get(theirs, EPSILON[case.architecture == MIXTRAL])
    require_readable(config, admission())
    facts = load_kinds()["trt-plan"].architecture(case.architecture)
    assert facts
    assert config["decoder"] == facts.decoder_type


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_directory_holds_one_file_a_device_and_the_checkpoints_own_tokenizer(
    case: Case, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    assert "errors" in found[case.name]
    files = {path.name for path in (folder / case.name).iterdir()}
    devices = case.tensor_parallel * case.pipeline_parallel
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    own = {"config.json", "hf_config.json", "quantization_report.json", "generation_config.json"}
    assert files == {f"rank{n}.safetensors" for n in range(devices)} | tokenizer | own
    for name in tokenizer:
        assert (folder / case.name / name).read_bytes() == (DEMO / name).read_bytes()


@pytest.mark.parametrize("case", LLAMAS[::2], ids=lambda case: case.name)
def test_weights_and_scales_are_stored_as_the_format_has_them(
    case: Case, found: dict[str, dict[str, Any]]
) -> None:
    base = "rank0:transformer.layers.1.mlp.proj."
    tensors = found[case.name]["tensors"]
    own = {name.removeprefix(base): tensor for name, tensor in tensors.items() if name.startswith(base)}
    assert own == STORED[case.recipe]
    cache = "rank0:transformer.layers.1.attention.kv_cache_scaling_factor"
    assert tensors.get(cache) == (ONE if case.kv_cache != "none" else None)


def test_the_same_request_gives_the_same_files(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    assert "errors" in found[AGAIN.name]
    first, second = folder / trt(MIXTRAL, "fp8", "fp8").name, folder / AGAIN.name
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {
        p.name: p.read_bytes() for p in second.iterdir()
    }


def test_qwen_has_the_keys_and_tensors_of_its_own(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    second, third = config_of(folder, trt(QWEN_2, "fp8")), config_of(folder, trt(QWEN_3, "fp8"))
    assert (second["qwen_type"], second["attn_bias"]) == ("qwen2", True)
    assert (third["qwen_type"], third["attn_bias"]) == ("qwen3", False)
    for exported in (second, third):
        assert (exported["seq_length"], exported["use_logn_attn"]) == (8192, False)
    layer = "rank1:transformer.layers.0.attention."
    assert found[trt(QWEN_2, "fp8").name]["tensors"][f"{layer}qkv.bias"] == ["bfloat16", 256]
    assert found[trt(QWEN_3, "fp8").name]["tensors"][f"{layer}q_layernorm.weight"] == ["bfloat16", 64]


def test_gemma_2_has_its_norms_and_its_soft_caps(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    config = config_of(folder, trt(GEMMA_2, "fp8"))
    assert config["share_embedding_table"] is True
    assert (config["query_pre_attn_scalar"], config["attn_logit_softcapping"]) == (64, 50.0)
    tensors = found[trt(GEMMA_2, "fp8").name]["tensors"]
    for norm in ("post", "pre_feedforward", "post_feedforward"):
        assert tensors[f"rank0:transformer.layers.1.{norm}_layernorm.weight"] == ["bfloat16", 256]


def test_mixtral_says_how_many_experts_it_has(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    case = trt(MIXTRAL, "fp8", "fp8")
    assert config_of(folder, case)["moe"] == {"num_experts": 4, "top_k": 2, "normalization_mode": 1}
    fc = found[case.name]["tensors"]["rank1:transformer.layers.0.mlp.fc.weight"]
    assert fc == ["float8_e4m3fn", 4, 512, 256]


def test_a_search_that_mixes_formats_says_which_layer_has_which(
    folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    assert max(found[SEARCH.name]["errors"].values()) <= 1
    assert found[SEARCH.name]["metrics"]["effective_bits"] <= 7
    assert config_of(folder, SEARCH)["quantization"]["quant_algo"] == "MIXED_PRECISION"
    layers = json.loads((folder / SEARCH.name / "quant_cfg.json").read_text())["quantized_layers"]
    assert {layer["quant_algo"] for layer in layers.values()} == {"FP8", "W4A16_AWQ"}


@pytest.mark.parametrize(
    "case", [trt(LLAMA, "fp8_per_channel_per_token"), SEARCH, OF_THREE], ids=lambda case: case.name
)
def test_the_builders_stand_in_expects_what_is_exported(
    case: Case, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    config = config_of(folder, case)
    if (layers := folder / case.name / "quant_cfg.json").exists():
        config["quantization"] = json.loads(layers.read_text())
    exported = found[case.name]["tensors"]
    for rank in range(2):
        own = {
            name.removeprefix(f"rank{rank}:"): (STORED_AS[kind], tuple(shape))
            for name, (kind, *shape) in exported.items()
            if name.startswith(f"rank{rank}:") and not optional(name)
        }
        assert own == expected(config, rank)


@pytest.mark.parametrize(("case", "what", "fix"), REFUSED, ids=lambda value: getattr(value, "name", None))
def test_what_this_line_cannot_do_is_refused(
    case: Case, what: str, fix: str, found: dict[str, dict[str, Any]]
) -> None:
    assert what in found[case.name]["refused"]
    assert fix in found[case.name]["fix"]


def test_this_line_reads_a_newer_checkpoint_without_a_word_and_wrongly(
    found: dict[str, dict[str, Any]],
) -> None:
    written = json.loads((DEMO / "config.json").read_text())["rope_parameters"]["rope_theta"]
    assert (found["theta of the demo"]["read"], written) == (10_000.0, 50_000.0)
