"""What an estimate of memory consists of, and the rules that it follows."""

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from engine_specs.reading import MEMORY_FILE, StrictFrozen, read_data

Fit = Literal["fits", "exceeds", "known after quantize", "target fixes no memory"]
QUANTIZE = "quantize"


class Reserve(StrictFrozen):
    """Memory of a GPU that is taken whatever the model."""

    what: str = Field(min_length=1, description="What takes it.")
    bytes: int = Field(ge=0, description="How much, at most.")
    source: str = Field(min_length=10, description="How that is known.")


class MemoryRules(StrictFrozen):
    """The content of `data/memory.yaml`."""

    usable_share: float = Field(gt=0, le=1, description="Share of a device's memory that may be planned for.")
    usable_share_source: str = Field(min_length=10, description="Why this share.")
    reserves: Annotated[tuple[Reserve, ...], Field(strict=False)] = Field(
        description="What every GPU process takes."
    )


class MemoryLine(StrictFrozen):
    """One thing that a device holds."""

    what: str = Field(description="What it is.")
    bytes: int = Field(description="How much; an upper limit if `known_after` names a stage.")
    arithmetic: str = Field(description="How the bytes are computed.")
    known_after: str | None = Field(default=None, description="Stage whose output gives the exact size.")


class MemoryEstimate(StrictFrozen):
    """The memory of one device."""

    devices: int = Field(description="Devices that share the engine.")
    lines: tuple[MemoryLine, ...] = Field(description="What it holds.")
    total_bytes: int = Field(description="Sum of all lines.")
    budget_bytes: int | None = Field(description="What may be planned for; null: the target fixes no memory.")
    budget_arithmetic: str = Field(description="How the budget is computed.")
    fit: Fit = Field(description="Whether the device holds it.")
    counting_note: str = Field(description="How the counted weights and the checkpoint's files compare.")


@lru_cache(maxsize=1)
def load_memory_rules() -> MemoryRules:
    """Return the rules; raises SpecInvalid if the data file is invalid."""
    return read_data(MEMORY_FILE, MemoryRules)
