"""quantize: a checkpoint becomes a quantized checkpoint, by ModelOpt in its own toolchain.

With recipe none and an unquantized KV cache there is nothing to do: the checkpoint itself is built. Only
where the kind reads TensorRT-LLM's layout, the stage writes it in that layout, quantized or not.
"""

from dataclasses import dataclass
from pathlib import Path

from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds
from tasks import workers
from tasks.hosts import need_of
from tasks.runs import Pipeline, StageResult
from tasks.stages.quantize_request import request_params
from tasks.stages.worker_stage import WorkerStage, run_worker_stage

STAGE = "quantize"
WORKER = Path(workers.__path__[0]) / "quantize_modelopt.py"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The stage does not run for this variant, and why."""

    reason: str


def describe(
    spec: str,
    variant: ResolvedVariant,
    checkpoint: str,
    calibration: str | None,
    *,
    beside: Path | None = None,
) -> WorkerStage | LeftOut:
    """The job that quantizes a checkpoint for a variant, or only writes it in the layout that the kind reads.

    Args:
        spec: name of the spec.
        variant: what to quantize for.
        checkpoint: tree of the checkpoint.
        calibration: tree of the texts; None exactly where the recipe needs none.
        beside: directory that a recipe file is looked up in, that of the spec; None: the working directory.

    Raises:
        RecipeFileInvalid: the recipe file is not there, or is not the one whose digest the spec names.
    """
    if unquantized(variant):
        return LeftOut(f"recipe {variant.quantization.recipe}: the checkpoint is built as it is")
    inputs = {"checkpoint": checkpoint} | ({"calibration": calibration} if calibration else {})
    params = request_params(variant, beside or Path())
    toolchain = toolchain_of(variant)
    return WorkerStage(STAGE, spec, variant.name, toolchain, WORKER, params, inputs, gpus=need_of(variant))


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
