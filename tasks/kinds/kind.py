"""The interface of an engine kind: what it would build and serve, without running anything."""

from dataclasses import dataclass, field
from typing import Protocol

from artifacts.hosts import ServeCommand
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from tasks.workers.common.records import Record
from tasks.workers.common.requests import EngineParams, Nothing
from tasks.workers.common.tool_command import ToolCommand


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One job that builds an engine; its input is {"checkpoint": directory}, its output is the engine tree.

    Attributes:
        toolchain: name of the toolchain whose interpreter runs the worker.
        worker: module of the program, such as tasks.workers.aot.build.
        params: what decides the engine; the caller sets `toolchains`, `driver_floor` and `stand_in`.
        admission: what only decides whether the worker may build; never part of a fingerprint.
        commands: commands of the tool that the worker runs, in order.
        ships: modules whose source files the worker copies into the engine; they are part of its bytes.
    """

    toolchain: str
    worker: str
    params: EngineParams
    admission: Record = field(default=Nothing())
    commands: tuple[ToolCommand, ...] = ()
    ships: tuple[str, ...] = ()


class Kind(Protocol):
    """One kind of engine: how it is built and served."""

    @property
    def name(self) -> str:
        """The name by which specs choose it."""

    def option_problems(self, variant: ResolvedVariant) -> tuple[Problem, ...]:
        """Return the options that the variant's other settings rule out, each with what is accepted. Pure."""

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that builds this variant. Pure."""

    def serve_command(self, variant: ResolvedVariant) -> ServeCommand:
        """Return the command that serves an engine of this variant. Pure."""

    def benchmark_command(self, variant: ResolvedVariant, concurrency: int) -> ToolCommand | None:
        """Return the command by which the tool's own benchmark asks an engine of this variant. Pure.

        Its placeholders are those of `tasks.workers.trtllm_bench.request`. None: the tool has no benchmark.
        """
