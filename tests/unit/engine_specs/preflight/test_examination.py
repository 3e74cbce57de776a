"""Pre-flight: every reason at once, each with the nearest setting that would fit."""

from typing import Any

import pytest
from support.specs.gpu import preflight

from engine_specs.preflight import examine
from engine_specs.reading import PreflightRefused, Problem
from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from engine_specs.spec.variant import Calibration
from engine_specs.tables import load_kinds, load_targets

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "num_hidden_layers": 4,
    "max_position_embeddings": 512,
    "vocab_size": 1024,
    "dtype": "bfloat16",
}
FILES = {"config.json": 700, "model.safetensors": 4_000_000, "tokenizer.json": 90_000}


@pytest.fixture
def variant(spec: Spec) -> ResolvedVariant:
    return resolve_variants(spec)[0]


def test_a_checkpoint_that_fits_has_no_problems(spec: Spec, variant: ResolvedVariant) -> None:
    assert preflight(spec, variant, CONFIG, FILES) == ()
    assert preflight(spec, variant, CONFIG | {"max_position_embeddings": 256}, FILES) == ()


KINDS = load_kinds()
COMPILED = f"aot-inductor compiles: {', '.join(KINDS['aot-inductor'].architecture_names)}"
MISTRAL = "or a kind that compiles MistralForCausalLM: " + ", ".join(
    name for name, kind in KINDS.items() if kind.architecture("MistralForCausalLM")
)
DIVIDE = "recipe none, or a model whose weights' input dimensions are multiples of 16"
RECIPE = "variants.first.quantization.recipe"
GIVES = "a checkpoint whose config.json gives them"


@pytest.mark.parametrize(
    ("change", "field", "found", "accepted"),
    [
        (
            {"architectures": ["OPTForCausalLM"]},
            "checkpoint.repo",
            "OPTForCausalLM in owner/model",
            f"an architecture that {COMPILED}",
        ),
        (
            {"architectures": None},
            "checkpoint.repo",
            "no architectures in config.json in owner/model",
            f"an architecture that {COMPILED}",
        ),
        (
            {"architectures": ["MistralForCausalLM"], "model_type": "mistral"},
            "checkpoint.repo",
            "MistralForCausalLM in owner/model",
            f"an architecture that {COMPILED}; {MISTRAL}",
        ),
        (
            {"max_position_embeddings": 128},
            "variants.first.shape.max_seq_len",
            "256",
            "at most 128, the positions of the model",
        ),
        (
            {"max_position_embeddings": None},
            "checkpoint.repo",
            "a config.json without max_position_embeddings",
            GIVES,
        ),
        (
            {"hidden_size": "128"},
            "checkpoint.repo",
            "a config.json without a usable hidden_size ('128')",
            GIVES,
        ),
        ({"intermediate_size": 344}, RECIPE, "int8_weight_only with mlp.down_proj 344", DIVIDE),
        (
            {"num_attention_heads": 4, "head_dim": 30},
            RECIPE,
            "int8_weight_only with self_attn.o_proj 120",
            DIVIDE,
        ),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "checkpoint.repo",
            "weights in owner/model that are already quantized (gptq)",
            "an unquantized checkpoint: engines are judged against vLLM on plain weights",
        ),
    ],
)
def test_each_refusal_of_a_config(
    spec: Spec, variant: ResolvedVariant, change: dict[str, Any], field: str, found: str, accepted: str
) -> None:
    assert preflight(spec, variant, CONFIG | change, FILES) == (Problem(field, found, accepted),)


def test_sizes_that_are_unknown_leave_the_arithmetic_out(spec: Spec, variant: ResolvedVariant) -> None:
    examined = examine(spec, variant, CONFIG | {"vocab_size": None}, FILES)
    assert (examined.memory, examined.disk) == (None, None)
    assert [problem.found for problem in examined.problems] == ["a config.json without vocab_size"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"config.json": 1, "tokenizer.json": 9}, "checkpoint.repo: found no weights in owner/model"),
        (
            {"pytorch_model.bin": 8, "tokenizer.json": 9},
            "checkpoint.repo: found pickled weights only (pytorch_model.bin) in owner/model",
        ),
        ({"model.safetensors": 0, "tokenizer.json": 9}, "checkpoint.repo: found no weights in owner/model"),
        (
            {"model.safetensors": 4_000_000, "tokenizer.model": 9},
            "checkpoint.repo: found no tokenizer.json in owner/model",
        ),
    ],
)
def test_each_refusal_of_the_files(
    spec: Spec, variant: ResolvedVariant, files: dict[str, int], expected: str
) -> None:
    (problem,) = preflight(spec, variant, CONFIG, files)
    assert str(problem).startswith(expected)


@pytest.mark.parametrize(
    ("target", "recipe", "refused"),
    [
        ("cpu-x86-64-v3", "fp8", True),
        ("a100-80gb", "fp8", True),
        ("l4", "fp8", False),
        ("a100-80gb", "none", False),
        ("gb200", "int8_weight_only", False),
    ],
)
def test_a_recipe_is_for_processors_or_for_gpus_of_some_capabilities(
    spec: Spec, variant: ResolvedVariant, target: str, recipe: str, refused: bool
) -> None:
    quantization = variant.quantization.model_copy(update={"recipe": recipe})
    changes = {"target": load_targets()[target], "quantization": quantization}
    problems = preflight(spec, variant.model_copy(update=changes), CONFIG, FILES)
    assert [problem.field for problem in problems] == ([RECIPE] if refused else [])


def test_an_unquantized_variant_takes_any_dimension(spec: Spec, variant: ResolvedVariant) -> None:
    plain = variant.model_copy(
        update={"quantization": variant.quantization.model_copy(update={"recipe": "none"})}
    )
    assert (
        preflight(
            spec, plain, CONFIG | {"intermediate_size": 345, "num_attention_heads": 4, "head_dim": 30}, FILES
        )
        == ()
    )


def test_calibration_texts_fit_the_positions_too(spec: Spec, variant: ResolvedVariant) -> None:
    calibration = Calibration(path="texts.jsonl", samples=4, sequence_length=600)
    quantization = variant.quantization.model_copy(update={"calibration": calibration})
    (problem,) = preflight(spec, variant.model_copy(update={"quantization": quantization}), CONFIG, FILES)
    assert problem.field == "variants.first.quantization.calibration.sequence_length"
    assert (problem.found, problem.accepted) == ("600", "at most 512, the positions of the model")


def test_all_reasons_come_at_once_and_read_as_one_error(spec: Spec, variant: ResolvedVariant) -> None:
    config = CONFIG | {"architectures": ["OPTForCausalLM"], "max_position_embeddings": 64, "hidden_size": 104}
    config |= {"head_dim": 16}
    problems = preflight(spec, variant, config, {"model.bin": 1})
    assert [p.field for p in problems] == [
        "checkpoint.repo",
        "checkpoint.repo",
        "checkpoint.repo",
        "variants.first.shape.max_seq_len",
        "variants.first.quantization.recipe",
    ]
    error = PreflightRefused("tiny", problems)
    assert (error.exit_code, error.failure) == (2, "unsupported")
    assert str(error).startswith(
        "tiny: pre-flight refuses 5 settings\n  checkpoint.repo: found pickled weights only"
    )
