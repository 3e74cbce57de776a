"""What ModelOpt 0.47 exports in Hugging Face's layout, for every recipe that processors allow."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints.quantization.cases import DEMO, Case, run_matrix
from support.paths import TESTS
from support.plans.ready_made import planned, spec_of
from support.servers.hub_faults import faulty_hub
from support.standin.trtllm.llm_args_rules import load_table
from support.standin.trtllm.unified_checkpoint import checkpoint_problems

from artifacts.settings import Settings
from artifacts.store import Store
from engine_specs.spec import RecipeFile, RecipeSearch
from engine_specs.tables import load_kv_caches, load_recipes
from tasks.toolchains import ensure

pytestmark = pytest.mark.toolchain

LLAMA = "LlamaForCausalLM"
MIXTURES = ("MixtralForCausalLM", "Qwen3MoeForCausalLM")
OTHERS = ("MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM")
RECIPE_FILE = """
metadata: {recipe_type: ptq, description: FP8 for the feed-forward layers}
quantize:
  algorithm: max
  quant_cfg:
    - {quantizer_name: "*", enable: false}
    - {quantizer_name: "*mlp*weight_quantizer", cfg: {num_bits: e4m3, axis: null}}
    - {quantizer_name: "*mlp*input_quantizer", cfg: {num_bits: e4m3, axis: null}}
"""


def hf(architecture: str, recipe: str, kv_cache: str = "none", label: str = "", **more: Any) -> Case:
    return Case("trtllm-torch", architecture, recipe, kv_cache, label=label, more=more)


def recipe_file(text: str) -> RecipeFile:
    return RecipeFile(path="recipe.yaml", sha256=hashlib.sha256(text.encode()).hexdigest())


PRESETS = [
    hf(LLAMA, "int8_weight_only"),
    hf(LLAMA, "int8_smoothquant"),
    hf(LLAMA, "fp8", "fp8"),
    hf(LLAMA, "fp8_per_channel_per_token"),
    hf(LLAMA, "int4_awq"),
    hf(LLAMA, "w4a8_awq"),
    hf(LLAMA, "nvfp4", "nvfp4"),
    hf(LLAMA, "w4a16_nvfp4"),
    hf(LLAMA, "fp8_block_scales"),
    hf(LLAMA, "mxfp8"),
    hf(LLAMA, "nvfp4_mlp_only"),
    *(hf(architecture, recipe) for architecture in OTHERS for recipe in ("fp8", "nvfp4")),
    hf("Qwen2ForCausalLM", "int4_awq"),
    hf("MixtralForCausalLM", "fp8", "fp8"),
    hf("MixtralForCausalLM", "nvfp4"),
    hf("Qwen3MoeForCausalLM", "fp8", "fp8"),
]
SEARCH = hf(LLAMA, "auto", search=RecipeSearch(effective_bits=7.0, candidates=("fp8", "int4_awq")))
BY_LOGITS = RecipeSearch(effective_bits=10.0, candidates=("fp8", "int8_smoothquant"), method="kl_div")
SEARCHES = [SEARCH, hf(LLAMA, "auto", "fp8", "kl", search=BY_LOGITS)]
TOO_SMALL = [
    hf(
        LLAMA,
        "auto",
        label=f"{bits}",
        search=RecipeSearch(effective_bits=bits, candidates=("fp8", "int4_awq")),
    )
    for bits in (2.0, 5.0)  # below every candidate; below what the layers reach that stay as they are
]
FROM_FILE = hf(LLAMA, "modelopt_file", "fp8", file=recipe_file(RECIPE_FILE))
CACHE_ONLY = hf(LLAMA, "none", "fp8")
AGAIN = hf(LLAMA, "fp8", "fp8", label="again")
FP8 = "acme/demo-fp8"
READY_MADE = Case("vllm", LLAMA, "fp8", "fp8", checkpoint=DEMO, label="ready-made")
WHOLE = Case("trtllm-torch", LLAMA, "fp8", checkpoint=DEMO, label="demo")
DAMAGED = replace(WHOLE, label="damaged")
DAMAGE = TESTS / "support" / "checkpoints" / "damage.py"

# Weight and scales of down_proj, [256, 512], as they are stored.
SCALAR = ["float32"]
STORED: dict[str, dict[str, list[Any]]] = {
    "int8_weight_only": {"weight": ["int8", 256, 512], "weight_scale": ["float32", 256]},
    "int8_smoothquant": {
        "weight": ["int8", 256, 512],
        "weight_scale": ["float32", 256],
        "input_scale": SCALAR,
        "pre_quant_scale": ["bfloat16", 512],
    },
    "fp8": {"weight": ["float8_e4m3fn", 256, 512], "weight_scale": SCALAR, "input_scale": SCALAR},
    "fp8_per_channel_per_token": {
        "weight": ["float8_e4m3fn", 256, 512],
        "weight_scale": ["float32", 256],
    },
    "int4_awq": {
        "weight": ["uint8", 128, 512],
        "weight_scale": ["float32", 256, 4],
        "pre_quant_scale": ["bfloat16", 512],
    },
    "w4a8_awq": {
        "weight": ["uint8", 128, 512],
        "weight_scale": ["float32", 256, 4],
        "weight_scale_2": SCALAR,
        "input_scale": SCALAR,
        "pre_quant_scale": ["bfloat16", 512],
    },
    "nvfp4": {
        "weight": ["uint8", 256, 256],
        "weight_scale": ["float8_e4m3fn", 256, 32],
        "weight_scale_2": SCALAR,
        "input_scale": SCALAR,
    },
    "w4a16_nvfp4": {
        "weight": ["uint8", 256, 256],
        "weight_scale": ["float8_e4m3fn", 256, 32],
        "weight_scale_2": SCALAR,
    },
}
STORED |= {
    "fp8_block_scales": {
        "weight": ["float8_e4m3fn", 256, 512],
        "weight_scale": ["float32", 2, 1, 4, 1],  # of blocks of 128 x 128
    },
    "mxfp8": {"weight": ["float8_e4m3fn", 256, 512], "weight_scale": ["uint8", 256, 16]},
}
STORED["nvfp4_mlp_only"] = STORED["nvfp4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports-hf")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict[str, Any]]:
    (folder / "recipe.yaml").write_text(RECIPE_FILE)
    toolchain = ensure("modelopt-cpu", Settings())
    damaged = folder / "damaged"
    command = [str(toolchain.python), str(DAMAGE), str(DEMO), str(damaged), "--noise", "0.3"]
    subprocess.run(command, check=True, capture_output=True)
    demos = [READY_MADE, WHOLE, replace(DAMAGED, checkpoint=damaged)]
    cases = [*PRESETS, *SEARCHES, *TOO_SMALL, FROM_FILE, CACHE_ONLY, AGAIN, *demos]
    return run_matrix(toolchain, cases, folder)


def described(folder: Path, case: Case) -> dict[str, Any]:
    quantization: dict[str, Any] = json.loads((folder / case.name / "hf_quant_config.json").read_text())
    return quantization["quantization"]


def report(folder: Path, case: Case) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / case.name / "quantization_report.json").read_text())
    return content


@pytest.mark.parametrize("case", PRESETS, ids=lambda case: case.name)
def test_every_weight_comes_back_within_what_its_format_allows(
    case: Case, found: dict[str, dict[str, Any]]
) -> None:
    errors = found[case.name]["errors"]
    assert len(errors) == (32 if case.architecture in MIXTURES else 14)
    assert max(errors.values()) <= 1
    rounded = [error for name, error in errors.items() if case.recipe != "nvfp4_mlp_only" or "mlp" in name]
    assert min(rounded) > 0.5, "a bound far above the errors would prove nothing"
    assert found[case.name]["kept"]


@pytest.mark.parametrize("case", PRESETS, ids=lambda case: case.name)
def test_the_export_says_what_was_asked_for(
    case: Case, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    assert found[case.name]["metrics"]["recipe"] == case.recipe
    recipe, written = load_recipes()[case.recipe], described(folder, case)
    assert written["quant_algo"] == recipe.quant_algo
    assert written["kv_cache_quant_algo"] == load_kv_caches()[case.kv_cache].quant_algo
    assert written.get("group_size") == recipe.group_size
    tied = case.architecture == "Gemma2ForCausalLM"  # one tensor for both: named once
    assert {"lm_head"} | (set() if tied else {"model.embed_tokens"}) <= set(written["exclude_modules"])


@pytest.mark.parametrize("case", PRESETS[:11], ids=lambda case: case.name)
def test_weights_and_scales_are_stored_as_the_format_has_them(
    case: Case, found: dict[str, dict[str, Any]]
) -> None:
    base = "model.layers.1.mlp.down_proj."
    tensors = found[case.name]["tensors"]
    own = {name.removeprefix(base): tensor for name, tensor in tensors.items() if name.startswith(base)}
    assert own == STORED[case.recipe]
    cache = {name for name in tensors if name.endswith(("k_scale", "v_scale"))}
    assert bool(cache) == (case.kv_cache != "none")


@pytest.mark.parametrize("case", PRESETS[:10], ids=lambda case: case.name)
def test_a_weight_takes_the_bits_that_the_table_says(
    case: Case, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    recipe, said = load_recipes()[case.recipe], report(folder, case)
    bits = (recipe.weight_bits or 0) + recipe.scale_bits / (recipe.group_size or 1)
    # A scale of 32 bits for each of 256 channels at most, and one of 16 bits for each of 256 columns.
    assert bits <= said["effective_bits"] <= bits + 32 / 256 + 16 / 256
    assert found[case.name]["metrics"]["effective_bits"] == said["effective_bits"]
    assert recipe.weight_bits in said["format_bits"].values()


@pytest.mark.parametrize(
    ("recipe", "capability"),
    [("fp8_per_channel_per_token", "9.0"), ("fp8_block_scales", "10.0"), ("w4a16_nvfp4", "12.0")],
)
def test_what_the_server_is_known_to_load_is_what_modelopt_exports(
    recipe: str, capability: str, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    case = hf(LLAMA, recipe)
    assert "errors" in found[case.name]
    assert checkpoint_problems(folder / case.name, {}, capability, load_table("llm-args-1.4")) == []
    earlier = checkpoint_problems(folder / case.name, {}, "8.0", load_table("llm-args-1.4"))
    assert all("is not supported on compute capability 8.0" in problem for problem in earlier)
    assert earlier


def test_attention_stays_as_it_is_where_only_the_feed_forward_layers_were_asked_for(
    folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    case = hf(LLAMA, "nvfp4_mlp_only")
    errors = found[case.name]["errors"]
    assert all(error == 0 for name, error in errors.items() if "self_attn" in name)
    assert set(load_recipes()[case.recipe].left_out[:2]) < set(report(folder, case)["left_out"])
    assert "model.layers.0.self_attn*" in report(folder, case)["left_out"]


@pytest.mark.parametrize("case", SEARCHES, ids=lambda case: case.name)
def test_a_search_reports_its_choice_for_each_layer(
    case: Case, folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    search = case.more["search"]
    choices = report(folder, case)["choices"]
    assert set(choices.values()) <= {*search.candidates, "none"}
    assert "none" not in choices.values() or len(set(choices.values())) > 1
    assert found[case.name]["metrics"]["effective_bits"] <= search.effective_bits
    assert max(found[case.name]["errors"].values()) <= 1
    assert described(folder, case)["kv_cache_quant_algo"] == load_kv_caches()[case.kv_cache].quant_algo


def test_a_search_that_mixes_formats_says_which_layer_has_which(
    folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    assert "errors" in found[SEARCH.name]
    written = described(folder, SEARCH)
    assert written["quant_algo"] == load_recipes()["auto"].quant_algo == "MIXED_PRECISION"
    algorithms = {layer["quant_algo"] for layer in written["quantized_layers"].values()}
    assert algorithms == {"FP8", "W4A16_AWQ"}


@pytest.mark.parametrize("case", TOO_SMALL, ids=lambda case: case.name)
def test_a_search_for_fewer_bits_than_there_are_is_refused(
    case: Case, found: dict[str, dict[str, Any]]
) -> None:
    assert f"no choice of the candidates has {case.label} bits per weight" in found[case.name]["refused"]
    assert "raise quantization.search.effective_bits" in found[case.name]["fix"]


def test_a_recipe_file_decides_what_is_quantized(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    errors = found[FROM_FILE.name]["errors"]
    assert all((error > 0.5) == ("mlp" in name) for name, error in errors.items())
    assert max(errors.values()) <= 1
    assert described(folder, FROM_FILE)["quant_algo"] == "FP8"
    assert described(folder, FROM_FILE)["kv_cache_quant_algo"] == "FP8"


def test_a_cache_alone_leaves_every_weight_as_it_is(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    assert set(found[CACHE_ONLY.name]["errors"].values()) == {0.0}
    assert described(folder, CACHE_ONLY)["kv_cache_quant_algo"] == "FP8"
    assert report(folder, CACHE_ONLY)["effective_bits"] == 16


def test_the_same_request_gives_the_same_files(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    first, second = folder / hf(LLAMA, "fp8", "fp8").name, folder / AGAIN.name
    assert "errors" in found[AGAIN.name]
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {
        p.name: p.read_bytes() for p in second.iterdir()
    }


def test_a_damaged_checkpoint_loses_measurably(found: dict[str, dict[str, Any]]) -> None:
    whole, damaged = found[WHOLE.name]["metrics"], found[DAMAGED.name]["metrics"]
    assert damaged["loss_before_nats_per_token"] > whole["loss_before_nats_per_token"] + 0.2


def test_an_export_brings_tokenizer_and_rope_base_along(
    folder: Path, found: dict[str, dict[str, Any]]
) -> None:
    output = folder / hf(LLAMA, "fp8", "fp8").name
    assert found["theta of the demo"]["read"] == 50_000.0
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (output / name).read_bytes() == (DEMO / name).read_bytes()
    rope = json.loads((output / "config.json").read_text())["rope_parameters"]
    assert (rope["rope_theta"], rope["rope_type"]) == (50_000.0, "llama3")


def test_a_plan_recognises_an_export_as_a_ready_made_checkpoint(
    found: dict[str, dict[str, Any]], folder: Path, tmp_path: Path, store: Store
) -> None:
    assert "refused" not in found[READY_MADE.name]
    root = tmp_path / "hub"
    ignored = shutil.ignore_patterns("*.bin", "original")
    shutil.copytree(DEMO, root / "enginery" / "demo-llama", ignore=ignored)
    shutil.copytree(folder / READY_MADE.name, root / FP8)
    expected: dict[tuple[str, str], str | None] = {
        ("vllm", "h100-sxm"): None,
        ("trtllm-torch", "h100-sxm"): None,
        ("vllm", "a100-80gb"): "modelopt FP8, KV cache FP8 in acme/demo-fp8@",
        ("vllm", "cpu-x86-64-v3"): "modelopt FP8, KV cache FP8 in acme/demo-fp8@",
    }
    with faulty_hub(root) as running:
        for (kind, target), words in expected.items():
            plan = planned(spec_of(running, FP8, target, kind), running, store, tmp_path)
            found = [str(one) for one in plan.variants[0].problems]
            assert [words in one for one in found[:1] if words] == [True] * (words is not None), found
            assert bool(found) == (words is not None), found
            memory: Any = plan.variants[0].memory
            assert "KV cache (fp8)" in {line.what for line in memory.lines}
