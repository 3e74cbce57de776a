"""build: the kind's worker turns a checkpoint into an engine, in the kind's toolchain."""

from dataclasses import replace

from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds
from tasks.hosts import need_of
from tasks.kinds import ToolCommand, kind_named
from tasks.stages.draft import AddDraft
from tasks.stages.fetch import FetchCheckpoint
from tasks.stages.node import CHECKPOINT, Inputs, Need
from tasks.stages.quantize import Quantize, built_as_fetched, toolchain_of
from tasks.stages.worker_stage import JobNode, WorkerStage
from tasks.toolchains import driver_floor
from tasks.workers.common.sources import closure

STAGE = "build"


class Build(JobNode):
    """The build of a variant's engine.

    Args:
        spec: the spec.
        variant: the variant to build.
        source: makes the checkpoint that is compiled, with its draft if it has one.
    """

    stage = STAGE
    does = "Makes the engine tree, with engine.json and the serve command."

    def __init__(
        self, spec: Spec, variant: ResolvedVariant, source: FetchCheckpoint | Quantize | AddDraft
    ) -> None:
        super().__init__(
            spec,
            variant.name,
            makes=f"engine-{variant.name}",
            needs=(Need(CHECKPOINT, source),),
            toolchains=tuple(toolchains_of(variant).values()),
        )
        self._variant = variant
        self.work_pool = variant.target.work_pool

    def job(self, inputs: Inputs) -> WorkerStage:
        """Return the job of the worker, as the kind describes it.

        Raises:
            tasks.errors.TaskError: the kind refuses the variant's options.
        """
        return build_job(self.spec.name, self._variant, inputs)

    def commands(self) -> tuple[ToolCommand, ...]:
        """Return the commands of the kind's tool."""
        return kind_named(self._variant.engine.kind).build_job(self._variant).commands


def build_job(spec: str, variant: ResolvedVariant, inputs: Inputs) -> WorkerStage:
    """Return the job that builds a variant; `spec` is the name of its spec."""
    plan = kind_named(variant.engine.kind).build_job(variant)
    toolchains = toolchains_of(variant)
    identities = {role: inputs.identities[name] for role, name in toolchains.items()}
    floor = driver_floor(toolchains.values())
    stand_in = plan.toolchain in inputs.stand_ins
    return WorkerStage(
        STAGE,
        spec,
        variant.name,
        plan.toolchain,
        plan.worker,
        closure(plan.worker, *plan.ships),
        replace(plan.params, toolchains=identities, driver_floor=floor, stand_in=stand_in),
        dict(inputs.trees),
        gpus=need_of(variant),
        admission=plan.admission,
    )


def toolchains_of(variant: ResolvedVariant) -> dict[str, str]:
    """Return the names of the toolchains that take part in making and serving an engine, by role."""
    toolchains, accelerator = load_kinds()[variant.engine.kind].toolchains, variant.target.accelerator
    roles = {"build": toolchains.build[accelerator], "serve": toolchains.serve[accelerator]}
    return roles if built_as_fetched(variant) else roles | {"quantize": toolchain_of(variant)}
