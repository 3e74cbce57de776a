"""The baseline: one side on the declared workload, in rounds and, if it may suffice, in open loop."""

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import QuietHost
from tasks.judging.endpoint import Side
from tasks.judging.results.load import LoadPoint
from tasks.judging.results.open_loop import OpenLoopSide


class LoadResult(Frozen):
    """One side on the declared workload: the baseline."""

    side: Side
    protocol_digest: str = Field(description="Digest of workload, round plan, seed and side.")
    operating_point: int
    points: tuple[LoadPoint, ...]
    ready_s: float = Field(default=0.0, ge=0, description="Seconds from the start of its server until ready.")
    quiet_host: QuietHost = Field(
        default="record", description="Whether the host had to be quiet while it was measured."
    )
    open_loop: OpenLoopSide | None = Field(
        default=None,
        description="The side in open loop; null if an engine is worth trying anyway, so it was not asked.",
    )
    host_busy: str = Field(
        default="", description="Who kept the host busy although it had to be quiet; empty if nobody did."
    )

    @property
    def is_cut_short(self) -> bool:
        """Whether the budget ended open loop before it settled the objective, or before it began."""
        return self.open_loop is not None and self.open_loop.ended == "budget"

    @property
    def at_operating_point(self) -> LoadPoint:
        """The results at the operating point, which decide."""
        return next(p for p in self.points if p.summary.concurrency == self.operating_point)
