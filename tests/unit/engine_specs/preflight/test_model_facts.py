"""What config.json and file sizes say of a model, and what is refused because they do not."""

from typing import Any

import pytest
from support.specs.models import LLAMA_8B, MIXTRAL, facts

from engine_specs.preflight.model_facts import UnknownFacts, read_model_facts

GEMMA_2 = {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2"}


def problems(config: dict[str, Any]) -> list[str]:
    read = read_model_facts(config, {})
    assert isinstance(read, UnknownFacts)
    return [str(problem) for problem in read.problems]


def test_a_dense_model_is_counted_to_the_weight() -> None:
    model = facts(LLAMA_8B)
    layer = 4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336
    assert model.linear_parameters == 32 * layer
    assert model.counted_bytes == 2 * 8_030_261_248  # the parameters that the model's card gives
    assert (model.head_dim, model.key_value_heads, model.dtype_bytes) == (128, 8, 2)


def test_experts_are_counted_each_and_the_router_once() -> None:
    model = facts(MIXTRAL)
    assert model.counted_bytes == 2 * 46_702_792_704
    assert model.experts is not None
    assert (model.experts.count, model.experts.active) == (8, 2)


def test_experts_have_their_own_width() -> None:
    config = LLAMA_8B | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 768}
    experts = facts(config).experts
    assert experts is not None
    assert (experts.inner, experts.shared, len(experts.layers)) == (768, 0, 32)


@pytest.mark.parametrize(
    ("change", "tied"),
    [
        ({}, False),
        ({"tie_word_embeddings": True}, True),
        (GEMMA_2, True),
        (
            GEMMA_2 | {"tie_word_embeddings": False},
            False,
        ),
    ],
)
def test_what_is_absent_means_what_transformers_takes_it_for(change: dict[str, Any], tied: bool) -> None:
    assert facts(LLAMA_8B | change).tied_embeddings is tied


def test_files_that_agree_leave_no_surplus() -> None:
    model = facts(LLAMA_8B, 16_060_522_496 + 9_000)
    assert model.surplus_bytes == 0
    assert model.counting_note == (
        "config.json counts 16,060,522,496 B of weights in bfloat16, "
        "the safetensors hold 16,060,531,496 B (+0.00%)"
    )


@pytest.mark.parametrize("held", [3 * 16_060_522_496, 8_030_261_248])
def test_files_that_disagree_are_said_to(held: int) -> None:
    model = facts(LLAMA_8B, held)
    assert model.surplus_bytes == held - 16_060_522_496
    assert "disagree" in model.counting_note


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"vocab_size": None}, "without vocab_size"),
        ({"hidden_size": "4096"}, "without a usable hidden_size ('4096')"),
        ({"num_hidden_layers": True}, "without a usable num_hidden_layers (True)"),
        ({"num_key_value_heads": "8"}, "without a usable num_key_value_heads"),
        ({"torch_dtype": None}, "without dtype or torch_dtype"),
        ({"torch_dtype": "float8_e4m3fn"}, "found weights of type float8_e4m3fn"),
        ({"num_local_experts": 8}, "without num_experts_per_tok next to its number of experts"),
    ],
)
def test_each_key_that_is_missing_is_named(change: dict[str, Any], named: str) -> None:
    (problem,) = problems(LLAMA_8B | change)
    assert named in problem


def test_all_missing_keys_come_at_once() -> None:
    assert len(problems({"architectures": ["OPTForCausalLM"]})) == 7


def test_the_newer_spelling_of_the_type_is_read() -> None:
    config = {key: value for key, value in LLAMA_8B.items() if key != "torch_dtype"}
    assert facts(config | {"dtype": "float32"}).dtype_bytes == 4
    assert facts(config | {"dtype": "torch.float16"}).dtype == "float16"
