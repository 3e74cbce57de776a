"""quantize: a checkpoint becomes a quantized checkpoint, by ModelOpt in its own toolchain.

With recipe none and an unquantized KV cache there is nothing to do: the checkpoint itself is built.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_specs.kind_facts import KindFacts, load_kinds
from engine_specs.recipes import Presets, load_kv_caches, load_recipes
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
    if unquantized(variant):
        return LeftOut(f"recipe {variant.quantization.recipe}: the checkpoint is built as it is")
    inputs = {"checkpoint": checkpoint} | ({"calibration": calibration} if calibration else {})
    return WorkerStage(STAGE, spec, variant.name, toolchain_of(variant), WORKER, _params(variant), inputs)


def unquantized(variant: ResolvedVariant) -> bool:
    """Whether the checkpoint is compiled as it was fetched: not quantized, in the same layout."""
    asked = variant.quantization
    as_it_is = asked.recipe == "none" and asked.kv_cache == "none"
    return as_it_is and load_kinds()[variant.engine.kind].export_format == "hf"


def toolchain_of(variant: ResolvedVariant) -> str:
    """Name of the toolchain that quantizes for a variant."""
    device = variant.quantization.device or variant.target.accelerator
    return load_kinds()[variant.engine.kind].toolchains.quantize[device]


def quantize(pipeline: Pipeline, work: WorkerStage) -> StageResult:
    """Quantize unless the store holds the result; raises `tasks.errors.TaskError`."""
    return run_worker_stage(pipeline, work)


def _params(variant: ResolvedVariant) -> dict[str, Any]:
    kind: KindFacts = load_kinds()[variant.engine.kind]
    recipe = load_recipes()[variant.quantization.recipe]
    kv_cache = load_kv_caches()[variant.quantization.kv_cache]
    calibration = variant.quantization.calibration
    shared = {"name", "needs_calibration"}
    return {
        "recipe": {
            **recipe.model_dump(include=shared | {"weight_input_multiple"}),
            "preset": _preset_name(recipe, kind),
        },
        "kv_cache": {**kv_cache.model_dump(include=shared), "preset": _preset_name(kv_cache, kind)},
        "architectures": list(kind.architecture_names),
        "export_format": kind.export_format,
        "calibration": {"sequence_length": calibration.sequence_length} if calibration else None,
    }


def _preset_name(row: Presets, kind: KindFacts) -> str | None:
    preset = row.preset(kind.modelopt)
    return preset.name if preset else None
