"""A stage that runs one job of a worker in a toolchain: quantize or build.

Invariants:
- The fingerprint covers what decides the result: the worker's files, its toolchain, `params` and `inputs`.
- `admission` is not part of it. It only lets the worker refuse, so that nothing is made again when a table
  grows, and existing results stay valid.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifacts.store import Store
from tasks.hosts import GpuNeed, gpus_for
from tasks.kinds import ToolCommand
from tasks.runs import Made, Pipeline, StageCall, StageResult, build_document, run_stage
from tasks.stages.node import Inputs, KeyedNode
from tasks.stages.sources import Sources
from tasks.toolchains import Toolchain, Worker, ensure, run_job
from tasks.workers.common.records import Record, as_json
from tasks.workers.common.requests import Nothing, Request
from tasks.workers.common.sources import Source, write_sources

# In a job's scratch directory, next to its inputs by role.
IMPORT_PATH = "worker"


@dataclass(frozen=True, slots=True)
class WorkerStage:
    """One job; its inputs are digests.

    Attributes:
        stage: name of the stage.
        spec: name of the spec.
        variant: name of the variant.
        toolchain: name of the toolchain that runs the worker.
        worker: module of the program, such as `tasks.workers.quantize.main`.
        sources: files of ours that the program may import, and files that it ships.
        params: what decides the result.
        inputs: digest of each input tree, by the role that the worker knows it by.
        gpus: the GPUs that it needs, if its toolchain computes on GPUs; not part of the fingerprint.
        admission: what only decides whether the worker may do it; not part of the fingerprint.
    """

    stage: str
    spec: str
    variant: str
    toolchain: str
    worker: str
    sources: tuple[Source, ...]
    params: Record
    inputs: dict[str, str]
    gpus: GpuNeed = field(default=GpuNeed())
    admission: Record = field(default=Nothing())

    def call(self, toolchain_identity: str) -> StageCall:
        """Return the stage call, given the identity of the installed toolchain."""
        document = build_document(
            stage=self.stage,
            sources=self.sources,
            toolchain=toolchain_identity,
            request={"params": as_json(self.params), "inputs": self.inputs},
        )
        return StageCall(self.stage, self.spec, self.variant, document)


class JobNode(KeyedNode):
    """A node that runs one job of a worker."""

    @abstractmethod
    def job(self, inputs: Inputs) -> WorkerStage:
        """Return the job. Pure."""

    def commands(self) -> tuple[ToolCommand, ...]:
        """Return the commands of the tool that the worker runs, in order. Pure."""
        return ()

    def completed(self, inputs: Inputs, store: Store) -> Inputs:  # noqa: ARG002  most jobs need no more
        """Return the inputs with what the job needs from their files; raise what `Store.read_file` raises."""
        return inputs

    def params(self, inputs: Inputs) -> dict[str, Any]:
        """Return the parameters of the worker."""
        params: dict[str, Any] = as_json(self.job(inputs).params)
        return params

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> StageCall:  # noqa: ARG002  digests suffice
        """Return the call of the job."""
        work = self.job(self.completed(inputs, store))
        return work.call(inputs.identities[work.toolchain])

    def run(self, pipeline: Pipeline, trees: dict[str, str]) -> StageResult:
        """Run the job unless its result is in the store; installs toolchains on first use.

        Args:
            pipeline: settings and store of the run.
            trees: digest of each input, by role.

        Raises:
            tasks.errors.TaskError: a toolchain or the GPUs are unavailable, or the worker refused, failed or
                was killed.
        """
        toolchains = {name: ensure(name, pipeline.settings, say=pipeline.say) for name in self.toolchains}
        inputs = self.completed(Inputs.given(trees, toolchains), pipeline.store)
        return run_worker_stage(pipeline, self.job(inputs))


def run_worker_stage(pipeline: Pipeline, work: WorkerStage) -> StageResult:
    """Run one job unless its result is in the store; installs the toolchain on first use.

    Raises:
        tasks.errors.TaskError: the toolchain or its GPUs are unavailable, or the worker refused, failed or
            was killed.
    """
    toolchain = ensure(work.toolchain, pipeline.settings, say=pipeline.say)
    call = work.call(toolchain.identity)
    return run_stage(
        pipeline, call, lambda output, scratch: _run(pipeline, work, toolchain, call, output, scratch)
    )


def _run(
    pipeline: Pipeline, work: WorkerStage, toolchain: Toolchain, call: StageCall, output: Path, scratch: Path
) -> Made:
    inputs = {role: scratch / role for role in work.inputs}
    for role, path in inputs.items():
        pipeline.store.materialize(work.inputs[role], path)
    import_path = scratch / IMPORT_PATH
    write_sources(work.sources, import_path)
    with gpus_for(toolchain, work.gpus, pipeline.settings, pipeline.say) as held:
        outcome = run_job(
            toolchain,
            Worker(module=work.worker, import_path=import_path),
            Request(work.params, work.admission, inputs, output),
            log=pipeline.log_file(call.label),
            on_line=pipeline.say,
            time_limit_s=pipeline.settings.job_time_limit_s,
            extra_env=held.env,
            gpus=held.uuids,
            keep_fds=held.descriptors,
        )
    cost = {"wall_s": round(outcome.wall_s, 3), "peak_rss_bytes": outcome.peak_rss_bytes}
    provenance = toolchain.provenance().model_dump(mode="json")
    metrics = {**outcome.metrics, "worker": cost, "toolchain": provenance}
    return Made(metrics=metrics, tools=outcome.tools)
