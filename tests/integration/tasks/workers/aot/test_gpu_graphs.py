"""The graphs for GPUs: what can be known of them without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines.built import PROGRAMS, RunJob, variant

from tasks.kinds import kind_named

pytestmark = pytest.mark.toolchain

Check = Callable[..., dict[str, Any]]


@pytest.fixture
def check(job: RunJob, tmp_path: Path) -> Check:
    """Make a checkpoint, trace the graphs of a recipe, and hold them against the eager model."""

    def run(architecture: str, recipe: str, **config: Any) -> dict[str, Any]:
        checkpoint = tmp_path / "checkpoint"
        asked = {"architecture": architecture, "config": config, "dtype": "bfloat16", "recipe": recipe}
        job(PROGRAMS / "make_checkpoint.py", asked, output=checkpoint)
        plan = kind_named("aot-inductor").build_job(variant(recipe, target="h200"))
        params = {"build": plan.params, "admission": plan.admission}
        found: dict[str, Any] = job(PROGRAMS / "gpu_graphs.py", params, checkpoint=checkpoint).metrics
        return found

    return run


def test_joined_projections_and_flash_attention_compute_what_the_checkpoint_says(check: Check) -> None:
    found = check("Qwen2ForCausalLM", "none", tie_word_embeddings=True)
    assert found["check"]["engine_rms"] <= 2 * found["check"]["eager_rms"]
    layer = "model.layers.0.self_attn"
    for field in ("weight", "bias"):
        parts = [f"{layer}.{name}.{field}" for name in ("q_proj", "k_proj", "v_proj")]
        assert found["origins"][f"model.{layer}.q_proj.joined.{field}"] == parts
    assert all("rotary" in name for name in found["constants"])
    assert set(found["equal"]) == {True}


@pytest.mark.parametrize("recipe", ["fp8", "int8_weight_only"])
def test_quantized_weights_stay_in_the_files_of_the_quantized_checkpoint(check: Check, recipe: str) -> None:
    found = check("LlamaForCausalLM", recipe)
    quantized = [name for name in found["origins"] if "_proj" in name]
    assert len(quantized) == 4, "of seven, five are joined into two"
    assert {name.rpartition(".")[2] for name in quantized} == {"weight"}
    assert set(found["equal"]) == {True}
