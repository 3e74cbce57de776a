"""The conditions under which sides were measured: their placement, their starts, and the GPUs' memory."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import PlacementName


class PlacementChoice(Frozen):
    """Where and when the sides of a measurement run, and why."""

    name: PlacementName = Field(
        description="together: each side on its own GPUs; shared: all on the same; in-turn: one at a time."
    )
    reason: str = Field(description="Why, as part of a sentence.")
    memory_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of each GPU's memory that every side gets; null: it is not divided.",
    )

    def text(self) -> str:
        """Write it as part of a sentence."""
        share = f", each with {self.memory_share:g} of the memory" if self.memory_share else ""
        return f"{self.name}{share} ({self.reason})"


class Start(Frozen):
    """One start of a side's server."""

    side: str = Field(description="Name of the side.")
    ready_s: float = Field(ge=0, description="Seconds from its start until it was ready.")


class SideMemory(Frozen):
    """The memory that one side takes of its fullest GPU."""

    side: str = Field(description="Name of the side.")
    estimated_bytes: int | None = Field(
        default=None, description="Pre-flight's estimate; null if the target fixes no memory."
    )
    peak_bytes: int | None = Field(
        default=None, description="The most that was seen while it served; null if nothing could be read."
    )
    read_by: Literal["process", "device"] | None = Field(
        default=None,
        description="Whether the driver counted the side's own processes, or the whole device, which it had "
        "to itself; null if nothing could be read.",
    )
