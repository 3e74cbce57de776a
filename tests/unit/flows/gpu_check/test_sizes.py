"""Sizes of checkpoints: the number of parameters is reached, in dimensions that every recipe takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gpu_check import written_config

from engine_specs.preflight import examine
from engine_specs.spec import load_spec, resolve_variants
from flows.errors import BadArgument
from flows.gpu_check.sizes import LARGEST, ModelSize, parse_size, size_near


@pytest.mark.parametrize(
    ("text", "parameters"),
    [("1B", 10**9), ("1.24b", 1_240_000_000), ("350M", 350_000_000), ("2600000", 2_600_000)],
)
def test_a_size_is_read_as_people_write_it(text: str, parameters: int) -> None:
    assert parse_size(text) == parameters


@pytest.mark.parametrize("text", ["", "big", "7", "500K", "11B", "-1B", "1 T", "1e9"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadArgument) as caught:
        parse_size(text)
    assert repr(text) in caught.value.what
    assert "350M" in caught.value.fix


def test_a_billion_parameters_have_the_usual_shape() -> None:
    size = size_near(10**9)
    assert (size.hidden, size.layers, size.heads, size.kv_heads) == (2048, 16, 32, 8)
    assert size.parameters == 975_243_264


def test_the_count_is_that_of_the_weights_matrix_by_matrix() -> None:
    size = ModelSize(hidden=512, layers=3)
    matrices = [512 * 512, 512 * 128, 512 * 128, 512 * 512, 3 * 512 * 2048]
    assert size.parameters == 3 * (sum(matrices) + 2 * 512) + 1024 * 512 + 512


@given(st.integers(10**7, LARGEST))
def test_every_size_is_nearly_reached_in_dimensions_that_divide(parameters: int) -> None:
    size = size_near(parameters)
    assert abs(size.parameters / parameters - 1) < 0.08
    assert {size.hidden % 128, size.intermediate % 128} == {0}
    assert size.heads * size.head_dim == size.hidden
    assert size.heads % size.kv_heads == 0
    assert size.kv_heads % 2 == 0, "two GPUs can divide them"


def test_preflight_counts_the_same_parameters() -> None:
    size = size_near(10**9)
    (variant,) = resolve_variants(load_spec("demo"))
    files = {"tokenizer.json": 1, "model.safetensors": 2 * size.parameters}
    memory = examine(load_spec("demo"), variant, written_config(size), files).memory
    assert memory is not None
    weights = sum(line.bytes for line in memory.lines if "cache" not in line.what)
    assert memory.total_bytes > 0
    assert weights < 2 * size.parameters
