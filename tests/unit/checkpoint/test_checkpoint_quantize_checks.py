"""What is refused before a model is loaded: the worker's checks, run without its toolchain."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import safetensors

import tasks

WORKERS = Path(tasks.__file__).parent / "workers"
INT8 = {"name": "int8_weight_only", "preset": "P", "needs_calibration": False, "weight_input_multiple": 16}
FP8 = {"name": "fp8", "preset": "P", "needs_calibration": True, "weight_input_multiple": 1}
NO_KV = {"name": "none", "preset": None, "needs_calibration": False}
GOOD: dict[str, Any] = {
    "recipe": INT8,
    "kv_cache": NO_KV,
    "architectures": ["LlamaForCausalLM"],
    "export_format": "hf",
    "calibration": None,
}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The worker's module, found as the worker finds it: beside itself."""
    monkeypatch.syspath_prepend(str(WORKERS))
    import quantize_checks

    yield quantize_checks
    for name in ("quantize_checks", "worker_io"):
        sys.modules.pop(name, None)


def checkpoint(folder: Path, columns: int = 64, **config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]} | config))
    shapes = {
        "model.embed_tokens.weight": (10, 7),
        "model.layers.0.mlp.up_proj.weight": (32, columns),
        "lm_head.weight": (10, 7),
    }
    (folder / "model.safetensors").write_bytes(safetensors(shapes))
    return folder


def test_what_can_be_quantized_passes(checks: Any, tmp_path: Path) -> None:
    checks.require_supported(checkpoint(tmp_path), GOOD)
    assert dict(checks.linear_shapes(tmp_path)) == {"model.layers.0.mlp.up_proj.weight": (32, 64)}


@pytest.mark.parametrize(
    ("config", "params", "failure", "what"),
    [
        ({"architectures": ["MambaForCausalLM"]}, {}, "unsupported", "architecture MambaForCausalLM"),
        ({"architectures": None}, {}, "unsupported", "architecture none"),
        ({"quantization_config": {"quant_method": "awq"}}, {}, "unsupported", "quantized already, with awq"),
        ({}, {"export_format": "trtllm"}, "unsupported", "export format 'trtllm'"),
        ({}, {"recipe": INT8 | {"preset": None}}, "input", "nothing to quantize"),
        ({}, {"recipe": FP8}, "input", "fp8 needs texts"),
        ({}, {"kv_cache": NO_KV | {"name": "fp8", "needs_calibration": True}}, "input", "fp8 needs texts"),
    ],
)
def test_what_cannot_is_refused_with_its_reason(
    checks: Any, tmp_path: Path, config: dict[str, Any], params: dict[str, Any], failure: str, what: str
) -> None:
    with pytest.raises(checks.Refusal, match=what) as refusal:
        checks.require_supported(checkpoint(tmp_path, **config), GOOD | params)
    assert refusal.value.failure == failure
    assert refusal.value.fix


def test_a_dimension_that_does_not_divide_is_named(checks: Any, tmp_path: Path) -> None:
    with pytest.raises(checks.Refusal, match=r"divide by 16; model\.layers\.0\.mlp\.up_proj\.weight has 36"):
        checks.require_supported(checkpoint(tmp_path, columns=36), GOOD)
    assert GOOD["recipe"]["weight_input_multiple"] == 16


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64])
def test_what_is_no_safetensors_file_is_refused(checks: Any, tmp_path: Path, content: bytes) -> None:
    checkpoint(tmp_path)
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(checks.Refusal, match="no safetensors file"):
        checks.require_supported(tmp_path, GOOD)
