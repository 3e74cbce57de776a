"""The format of a quantized checkpoint, as its files say it."""

from typing import Any

import pytest

from engine_specs.preflight import SmallFiles, recognise


def modelopt(**said: Any) -> SmallFiles:
    return SmallFiles(json_files={"hf_quant_config.json": {"quantization": said}})


def compressed(weights: dict[str, Any], inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    group = {"weights": weights, "input_activations": inputs}
    described = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, **more}
    return {"quantization_config": described}


FLOAT8, INT8 = {"num_bits": 8, "type": "float"}, {"num_bits": 8, "type": "int"}
INT4 = {"num_bits": 4, "type": "int", "group_size": 128}
FLOAT4 = {"num_bits": 4, "type": "float", "group_size": 16}


@pytest.mark.parametrize(
    ("said", "formats", "cache"),
    [
        ({"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, ("FP8",), "FP8"),
        ({"quant_algo": "NVFP4", "kv_cache_quant_algo": None}, ("NVFP4",), None),
        ({"quant_algo": "W4A16_AWQ"}, ("W4A16_AWQ",), None),
        ({"quant_algo": None}, (), None),
        (
            {
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {"a": {"quant_algo": "NVFP4"}, "b": {"quant_algo": "FP8"}},
            },
            ("FP8", "NVFP4"),
            None,
        ),
    ],
)
def test_modelopts_file_names_formats(
    said: dict[str, Any], formats: tuple[str, ...], cache: str | None
) -> None:
    found = recognise({}, modelopt(**said))
    assert found is not None
    assert (found.tool, found.formats, found.kv_cache) == ("modelopt", formats, cache)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (compressed(FLOAT8, FLOAT8), "W8A8_FP8"),
        (compressed(FLOAT8 | {"strategy": "block"}, FLOAT8), "W8A8_BLOCK_FP8"),
        (compressed(FLOAT8), "W8A16_FP8"),
        (compressed(INT8, INT8), "W8A8_INT8"),
        (compressed(INT8), "W8A16"),
        (compressed(INT4), "W4A16"),
        (compressed(INT4, INT8), "W4A8_INT8"),
        (compressed(FLOAT4, FLOAT4), "NVFP4"),
        (compressed(FLOAT4), "NVFP4A16"),
        (compressed(FLOAT4 | {"group_size": 32}, FLOAT4), "MXFP4"),
    ],
)
def test_a_group_of_compressed_tensors_has_a_name_of_its_own(config: dict[str, Any], name: str) -> None:
    found = recognise(config, SmallFiles())
    assert found is not None
    assert (found.tool, found.formats) == ("compressed-tensors", (name,))


def test_the_cache_of_compressed_tensors() -> None:
    found = recognise(compressed(FLOAT8, FLOAT8, kv_cache_scheme=FLOAT8), SmallFiles())
    assert found is not None
    assert found.kv_cache == "FP8"


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes"])
def test_other_methods_are_named_without_a_format(method: str) -> None:
    found = recognise({"quantization_config": {"quant_method": method, "bits": 4}}, SmallFiles())
    assert found is not None
    assert (found.tool, found.formats) == (method, ())


def test_nothing_says_nothing() -> None:
    assert recognise({"hidden_size": 64}, SmallFiles()) is None
