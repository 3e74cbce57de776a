"""build: a checkpoint becomes an engine, by the kind's own worker in the kind's own toolchain."""

from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_kinds
from tasks.hosts import need_of
from tasks.kinds import kind_named
from tasks.runs import Pipeline, StageResult
from tasks.stages.quantize import toolchain_of, unquantized
from tasks.stages.worker_stage import WorkerStage, run_worker_stage
from tasks.toolchains import ensure

STAGE = "build"


def describe(
    spec: str,
    variant: ResolvedVariant,
    checkpoint: str,
    identities: dict[str, str],
    *,
    stand_in: bool = False,
) -> WorkerStage:
    """The job that builds an engine.

    Args:
        spec: name of the spec.
        variant: what to build.
        checkpoint: tree of the (quantized) checkpoint.
        identities: identity of each toolchain of the kind, by role: build, serve, quantize.
        stand_in: whether the toolchain that builds holds a stand-in of its tool.
    """
    job = kind_named(variant.engine.kind).build_job(variant)
    params = {**job.params, "toolchains": identities} | ({"stand_in": True} if stand_in else {})
    inputs = {"checkpoint": checkpoint}
    return WorkerStage(
        STAGE, spec, variant.name, job.toolchain, job.worker, params, inputs, job.ships, need_of(variant)
    )


def build_engine(pipeline: Pipeline, spec: str, variant: ResolvedVariant, checkpoint: str) -> StageResult:
    """Build an engine unless the store holds it; installs the kind's toolchains on first use.

    Raises:
        tasks.errors.TaskError: the worker refused, failed, was killed, or the engine computes something else.
    """
    toolchains = {
        role: ensure(name, pipeline.settings, on_progress=pipeline.say)
        for role, name in toolchains_of(variant).items()
    }
    identities = {role: toolchain.identity for role, toolchain in toolchains.items()}
    stand_in = toolchains["build"].stand_in
    return run_worker_stage(pipeline, describe(spec, variant, checkpoint, identities, stand_in=stand_in))


def toolchains_of(variant: ResolvedVariant) -> dict[str, str]:
    """Names of the toolchains that have a part in an engine, by role."""
    toolchains = load_kinds()[variant.engine.kind].toolchains
    roles = {"build": toolchains.build, "serve": toolchains.serve}
    return roles if unquantized(variant) else roles | {"quantize": toolchain_of(variant)}
