"""What vLLM is run with as a reference: data (`data/references.yaml`), each row with its source.

Which quantized weights and caches it loads is what its kind takes (`kinds/vllm.yaml`).
"""

from functools import lru_cache
from typing import Annotated, TypeVar

from pydantic import Field

from engine_specs.reading import REFERENCES_FILE, StrictFrozen, read_data, refuse_duplicates
from engine_specs.tables.targets import Target

Setting = bool | int | float | str
Capability = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class ServedRow(StrictFrozen):
    """Settings of vLLM for some hardware."""

    cpu: bool = Field(default=False, description="Whether it holds for processors.")
    compute_capabilities: Annotated[tuple[Capability, ...], Field(strict=False)] = Field(
        default=(), description="Compute capabilities of the NVIDIA GPUs that it holds for."
    )
    settings: dict[str, Setting] = Field(description="Settings, by the names of vLLM's engine arguments.")
    source: str = Field(min_length=10, description="Where that is known from.")

    def holds_for(self, target: Target) -> bool:
        """Whether the row is about this hardware."""
        return self.cpu if target.gpu is None else target.compute_capability in self.compute_capabilities

    @property
    def hardware(self) -> tuple[str, ...]:
        """What it holds for."""
        return (*(("cpu",) if self.cpu else ()), *self.compute_capabilities)


class RecommendedRow(ServedRow):
    """What vllm-project/recipes recommends for a model."""

    model: str = Field(
        pattern=r"^[^/\s]+/[^/\s]+$", description="Repository of the checkpoint on Hugging Face's Hub."
    )


class ReferenceTable(StrictFrozen):
    """The content of `data/references.yaml`."""

    commit: Commit = Field(description="Commit of vllm-project/recipes.")
    recommended: Annotated[tuple[RecommendedRow, ...], Field(strict=False)] = Field(
        description="What it recommends, by model and hardware."
    )
    quantizes: Annotated[tuple[ServedRow, ...], Field(strict=False)] = Field(
        description="What vLLM quantizes by itself."
    )

    def recommendation(self, model: str, target: Target) -> RecommendedRow | None:
        """Return what is recommended for a model on this hardware; None if nobody says."""
        return _first([row for row in self.recommended if row.model == model], target)

    def quantizing(self, target: Target) -> ServedRow | None:
        """Return how vLLM quantizes by itself on this hardware; None if it does not."""
        return _first(self.quantizes, target)


RowT = TypeVar("RowT", bound=ServedRow)


def _first(rows: tuple[RowT, ...] | list[RowT], target: Target) -> RowT | None:
    return next((row for row in rows if row.holds_for(target)), None)


@lru_cache(maxsize=1)
def load_references() -> ReferenceTable:
    """Return the table; raises SpecInvalid if the data file is invalid."""
    table = read_data(REFERENCES_FILE, ReferenceTable)
    pairs = [f"{row.model} on {hardware}" for row in table.recommended for hardware in row.hardware]
    refuse_duplicates(REFERENCES_FILE, "model and hardware", pairs)
    return table
