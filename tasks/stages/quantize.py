"""quantize: a checkpoint becomes a quantized checkpoint, by ModelOpt in its own toolchain.

With recipe none and an unquantized KV cache there is nothing to do: the checkpoint itself is built.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_specs.kind_facts import KindFacts, load_kinds
from engine_specs.recipes import load_kv_caches, load_recipes
from engine_specs.resolve import ResolvedVariant
from tasks import workers
from tasks.pipeline import Pipeline
from tasks.stage import StageResult
from tasks.stages.worker_stage import WorkerStage, run_worker_stage

STAGE = "quantize"
WORKER = Path(workers.__path__[0]) / "quantize_modelopt.py"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The stage does not run for this variant, and why."""

    reason: str


def describe(
    spec: str, variant: ResolvedVariant, checkpoint: str, calibration: str | None
) -> WorkerStage | LeftOut:
    """The job that quantizes a checkpoint for a variant.

    Args:
        spec: name of the spec.
        variant: what to quantize for.
        checkpoint: tree of the checkpoint.
        calibration: tree of the texts; None exactly where the recipe needs none.
    """
    params = _params(variant)
    if not params["recipe"]["preset"] and not params["kv_cache"]["preset"]:
        return LeftOut(f"recipe {variant.quantization.recipe}: the checkpoint is built as it is")
    inputs = {"checkpoint": checkpoint} | ({"calibration": calibration} if calibration else {})
    toolchain = load_kinds()[variant.engine.kind].toolchains.quantize
    return WorkerStage(STAGE, spec, variant.name, toolchain, WORKER, params, inputs)


def quantize(pipeline: Pipeline, work: WorkerStage) -> StageResult:
    """Quantize unless the store holds the result; raises `tasks.errors.TaskError`."""
    return run_worker_stage(pipeline, work)


def _params(variant: ResolvedVariant) -> dict[str, Any]:
    kind: KindFacts = load_kinds()[variant.engine.kind]
    recipe = load_recipes()[variant.quantization.recipe]
    kv_cache = load_kv_caches()[variant.quantization.kv_cache]
    calibration = variant.quantization.calibration
    recipe_fields = {"name", "preset", "needs_calibration", "weight_input_multiple"}
    return {
        "recipe": recipe.model_dump(include=recipe_fields),
        "kv_cache": kv_cache.model_dump(include={"name", "preset", "needs_calibration"}),
        "architectures": list(kind.architecture_names),
        "export_format": kind.export_format,
        "calibration": {"sequence_length": calibration.sequence_length} if calibration else None,
    }
