"""quantize: ModelOpt turns a checkpoint into a quantized checkpoint, in its own toolchain.

With recipe none and an unquantized KV cache, the stage is left out: the checkpoint itself is built; so it is
if the variant names a ready-made checkpoint, which is built instead. But if
the kind reads TensorRT-LLM's layout, the stage always runs, and writes that layout, quantized or not.
"""

from dataclasses import replace
from pathlib import Path

from artifacts.store import Store
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds
from tasks.hosts import need_of
from tasks.stages.fetch import FetchCheckpoint, FetchTexts, checkpoint_config
from tasks.stages.node import CALIBRATION, CHECKPOINT, Inputs, Need
from tasks.stages.quantize.request import admission, names_family, request_params
from tasks.stages.sources import spec_dir
from tasks.stages.worker_stage import JobNode, WorkerStage
from tasks.workers.common.sources import closure

STAGE = "quantize"
WORKER = "tasks.workers.quantize.main"


class Quantize(JobNode):
    """The quantization of a checkpoint for a variant, or its conversion to the layout that the kind reads.

    Args:
        spec: the spec.
        variant: the variant to quantize for.
        checkpoint: makes the checkpoint.
        calibration: makes the texts; None if and only if the recipe needs none.
    """

    stage = STAGE
    does = "ModelOpt quantizes the checkpoint and exports it in the layout that the kind compiles."

    def __init__(
        self,
        spec: Spec,
        variant: ResolvedVariant,
        checkpoint: FetchCheckpoint,
        calibration: FetchTexts | None,
    ) -> None:
        texts = (Need(CALIBRATION, calibration),) if calibration else ()
        super().__init__(
            spec,
            variant.name,
            makes=f"quantized-{variant.name}",
            needs=(Need(CHECKPOINT, checkpoint), *texts),
            toolchains=(toolchain_of(variant),),
        )
        self._variant = variant
        self.work_pool = variant.target.work_pool
        if source := variant.quantization.source:
            self.left_out = f"{source.repo}@{source.revision[:12]} is quantized, and built as it is"
        elif built_as_fetched(variant):
            self.left_out = f"recipe {variant.quantization.recipe}: the checkpoint is built as it is"

    def completed(self, inputs: Inputs, store: Store) -> Inputs:
        """Return the inputs with config.json, which decides the model family in TensorRT-LLM's layout."""
        if not names_family(self._variant):
            return inputs
        return replace(inputs, config=checkpoint_config(store, inputs.trees[CHECKPOINT]))

    def job(self, inputs: Inputs) -> WorkerStage:
        """Return the job of the worker.

        Raises:
            RecipeFileInvalid: the recipe file does not exist, or has another digest than the spec says.
        """
        return quantize_job(self.spec.name, self._variant, inputs, spec_dir(self.spec))


def quantize_job(spec: str, variant: ResolvedVariant, inputs: Inputs, spec_dir: Path) -> WorkerStage:
    """Return the job that quantizes for a variant; `spec` is the spec's name, `spec_dir` its directory."""
    return WorkerStage(
        STAGE,
        spec,
        variant.name,
        toolchain_of(variant),
        WORKER,
        closure(WORKER),
        request_params(variant, inputs.config, spec_dir),
        dict(inputs.trees),
        gpus=need_of(variant),
        admission=admission(variant),
    )


def built_as_fetched(variant: ResolvedVariant) -> bool:
    """Whether a checkpoint is compiled as it was fetched: not quantized or ready-made, in the same layout."""
    asked = variant.quantization
    as_it_is = asked.source is not None or (asked.recipe == "none" and asked.kv_cache == "none")
    return as_it_is and load_kinds()[variant.engine.kind].export_format == "hf"


def toolchain_of(variant: ResolvedVariant) -> str:
    """Return the name of the toolchain that quantizes for a variant."""
    device = variant.quantization.device or variant.target.accelerator
    return load_kinds()[variant.engine.kind].toolchains.quantize[device]
