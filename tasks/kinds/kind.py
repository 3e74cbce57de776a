"""What every engine kind answers, without running anything."""

from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import ServeCommand
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant

WORKERS = Path(__file__).parent.parent / "workers"


class ToolCommand(Frozen):
    """One command of a tool that a worker runs, as the kind decided it.

    Placeholders, filled in by the worker: {python} and {bin} (the toolchain's interpreter and its directory
    of programs), {checkpoint} (the input), {output} (the engine tree), {scratch} (a directory that is thrown
    away), {port} (a free port of 127.0.0.1, for a command that serves).
    """

    name: str = Field(description="What it does, such as build.")
    argv: tuple[str, ...] = Field(description="Program and arguments.")
    env: dict[str, str] = Field(default_factory=dict, description="Environment beyond the toolchain's.")


class JobPlan(Frozen):
    """One job that builds an engine: its input is {"checkpoint": directory}, its output the engine tree."""

    toolchain: str = Field(description="Name of the toolchain whose interpreter runs the worker.")
    worker: Path = Field(description="The program.")
    params: dict[str, Any] = Field(
        description="Plain JSON values for it, among them `serve`, the recipe that engine.json carries. "
        "The caller adds `toolchains`: identity by role."
    )
    admission: dict[str, Any] = Field(
        default_factory=dict,
        description="Plain JSON values that only decide whether the worker may build; part of no identity.",
    )
    commands: tuple[ToolCommand, ...] = Field(
        default=(),
        description="Commands of the tool, in order; the worker gets them in `params`.",
    )
    ships: tuple[Path, ...] = Field(
        default=(), description="Source files that the worker copies into the engine; they decide its bytes."
    )


class Kind(Protocol):
    """How one kind of engine is built."""

    @property
    def name(self) -> str:
        """Name by which specs choose it."""

    @property
    def export_format(self) -> str:
        """Layout of the quantized checkpoint that it compiles."""

    def option_problems(self, variant: ResolvedVariant) -> tuple[Problem, ...]:
        """Options that the variant's other settings rule out, each with what goes instead. Pure."""

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that builds this variant. Pure."""

    def serve_recipe(self, variant: ResolvedVariant) -> ServeCommand:
        """The command that serves an engine of this variant. Pure."""
