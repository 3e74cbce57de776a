"""The graphs for GPUs: what can be known of them without one."""

import re
from typing import Any

import pytest
from support.engines.built import PROGRAMS, RunJob, variant

from tasks.kinds import kind_named

pytestmark = pytest.mark.toolchain

# The architecture and whatever else the checkpoint of a recipe is.
CHECKPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("Qwen2ForCausalLM", {"tie_word_embeddings": True}),
    "fp8": ("LlamaForCausalLM", {}),
    "int8_weight_only": ("Qwen3ForCausalLM", {"head_dim": 32}),
}


@pytest.fixture(scope="module")
def found(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the graphs of each recipe compute and read."""
    folder = tmp_path_factory.mktemp("gpu") / "checkpoints"
    asked = {
        recipe: {"architecture": name, "config": config, "dtype": "bfloat16", "recipe": recipe}
        for recipe, (name, config) in CHECKPOINTS.items()
    }
    job(PROGRAMS / "make_checkpoint.py", {"checkpoints": asked}, output=folder)
    plans = {name: kind_named("aot-inductor").build_job(variant(name, target="h200")) for name in CHECKPOINTS}
    builds = {name: plan.params for name, plan in plans.items()}
    params = {"builds": builds, "admission": plans["none"].admission}
    metrics: dict[str, Any] = job(PROGRAMS / "gpu_graphs.py", params, checkpoints=folder).metrics
    return metrics


@pytest.mark.parametrize("recipe", CHECKPOINTS)
def test_joined_projections_and_flash_attention_compute_what_the_checkpoint_says(
    found: dict[str, Any], recipe: str
) -> None:
    checks = found[recipe]["checks"]
    assert checks.keys() == {"shared", "single"}
    for check in checks.values():
        assert check["positions"] > 20
        # A wrong mask, position, row or weight would be off by the size of the logits.
        assert check["engine_rms"] <= 2 * check["eager_rms"] < check["reference_rms"]


def test_a_server_says_which_graphs_it_has_and_what_one_row_takes(found: dict[str, Any]) -> None:
    said = found["none"]["said"]
    assert said.startswith("CUDA graphs for [1, 2, 4] rows")
    assert re.search(r"one row: shared [\d.]+ ms, single [\d.]+ ms", said)


@pytest.mark.parametrize("recipe", CHECKPOINTS)
def test_a_server_loads_the_weights_that_were_compiled(found: dict[str, Any], recipe: str) -> None:
    assert set(found[recipe]["equal"]) == {True}


def test_joined_weights_are_those_of_the_checkpoint_one_after_another(found: dict[str, Any]) -> None:
    layer, origins = "model.layers.0.self_attn", found["none"]["origins"]
    for field in ("weight", "bias"):
        parts = [f"{layer}.{name}.{field}" for name in ("q_proj", "k_proj", "v_proj")]
        assert origins[f"model.{layer}.q_proj.joined.{field}"] == parts
    assert all("rotary" in name for name in found["none"]["constants"])


@pytest.mark.parametrize("recipe", ["fp8", "int8_weight_only"])
def test_quantized_weights_stay_in_the_files_of_the_quantized_checkpoint(
    found: dict[str, Any], recipe: str
) -> None:
    quantized = [name for name in found[recipe]["origins"] if "_proj" in name]
    assert len(quantized) == 4, "of seven, five are joined into two"
    assert {name.rpartition(".")[2] for name in quantized} == {"weight"}


@pytest.mark.parametrize("recipe", CHECKPOINTS)
def test_no_graph_has_a_constant_that_is_not_the_models(found: dict[str, Any], recipe: str) -> None:
    assert found[recipe]["unnamed"] == []


def test_a_compiled_package_reads_scales_under_their_names_in_the_model(found: dict[str, Any]) -> None:
    compiled = found["fp8"]["compiled"]
    assert {"down_proj.input_scale", "down_proj.one", "gate_proj.joined.input_scale"} <= set(
        compiled["reads"]
    )
    # Inputs that lie between two FP8 numbers may be rounded to either.
    assert compiled["error"] <= 0.1 * compiled["largest"]
