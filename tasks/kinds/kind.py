"""What every engine kind answers, without running anything."""

from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.resolve import ResolvedVariant

WORKERS = Path(__file__).parent.parent / "workers"


class JobPlan(Frozen):
    """One job that builds an engine: its input is {"checkpoint": directory}, its output the engine tree."""

    toolchain: str = Field(description="Name of the toolchain whose interpreter runs the worker.")
    worker: Path = Field(description="The program.")
    params: dict[str, Any] = Field(
        description="Plain JSON values for it. The caller adds `toolchains`: identity by role."
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

    def build_job(self, variant: ResolvedVariant) -> JobPlan:
        """Describe the job that builds this variant. Pure."""
