"""quantize: a checkpoint becomes a quantized checkpoint, by ModelOpt in its own toolchain.

With recipe none and an unquantized KV cache there is nothing to do: the checkpoint itself is built. Only
if the kind reads TensorRT-LLM's layout, the stage writes it in that layout, quantized or not.
"""

from dataclasses import replace
from pathlib import Path

from artifacts.store import Store
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds
from tasks.hosts import need_of
from tasks.stages.fetch import FetchCheckpoint, FetchTexts, checkpoint_config
from tasks.stages.node import CALIBRATION, CHECKPOINT, Inputs, Need
from tasks.stages.quantize_request import admission, names_family, request_params
from tasks.stages.sources import spec_dir
from tasks.stages.worker_stage import JobNode, WorkerStage
from tasks.workers.common.sources import closure

STAGE = "quantize"
WORKER = "tasks.workers.quantize.main"


class Quantize(JobNode):
    """The checkpoint, quantized for a variant or only written in the layout that its kind reads.

    Args:
        spec: the spec.
        variant: what to quantize for.
        checkpoint: makes the checkpoint.
        calibration: makes the texts; None exactly if the recipe needs none.
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
        if unquantized(variant):
            self.left_out = f"recipe {variant.quantization.recipe}: the checkpoint is built as it is"

    def completed(self, inputs: Inputs, store: Store) -> Inputs:
        """With config.json of the checkpoint, which names its family in TensorRT-LLM's layout."""
        if not names_family(self._variant):
            return inputs
        return replace(inputs, config=checkpoint_config(store, inputs.trees[CHECKPOINT]))

    def job(self, inputs: Inputs) -> WorkerStage:
        """The job of the worker.

        Raises:
            RecipeFileInvalid: the recipe file is not there, or is not the one whose digest the spec names.
        """
        return quantize_job(self.spec.name, self._variant, inputs, spec_dir(self.spec))


def quantize_job(spec: str, variant: ResolvedVariant, inputs: Inputs, spec_dir: Path) -> WorkerStage:
    """The job that quantizes for a variant of the spec of that name, whose file lies in `spec_dir`."""
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


def unquantized(variant: ResolvedVariant) -> bool:
    """Whether the checkpoint is compiled as it was fetched: not quantized, in the same layout."""
    asked = variant.quantization
    as_it_is = asked.recipe == "none" and asked.kv_cache == "none"
    return as_it_is and load_kinds()[variant.engine.kind].export_format == "hf"


def toolchain_of(variant: ResolvedVariant) -> str:
    """Name of the toolchain that quantizes for a variant."""
    device = variant.quantization.device or variant.target.accelerator
    return load_kinds()[variant.engine.kind].toolchains.quantize[device]
