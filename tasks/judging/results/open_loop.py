"""A side in open loop: requests arrive when they arrive, however long those before them take."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.conditions import HostLoad
from tasks.judging.results.load import RequestRecord
from tasks.judging.results.quantities import BoundedQuantiles, Quantiles

Settled = Literal["settled", "enough", "budget"]
"""Why no more requests were sent: the objective is settled; more, or any, would change no verdict; or the
budget does not allow as many as are needed next."""


class Stretch(Frozen):
    """Arrivals in a row, from an idle server on; times are counted from the intended arrival."""

    side: str = Field(description="Name of the side that was asked.")
    index: int = Field(ge=0, description="Place among the stretches of this side.")
    arrivals_per_s: float = Field(gt=0, description="Mean rate of the arrivals.")
    started_s: float = Field(description="Seconds since the first round of this measurement.")
    wall_s: float = Field(gt=0, description="Time from the first counted arrival to the last token received.")
    devices: int
    prompts_sha256: str = Field(description="Digest of the prompts, in order; no two stretches share one.")
    answers_sha256: str = Field(
        description="Digest of the answers' texts and counted tokens, in the order of the arrivals."
    )
    requests: tuple[RequestRecord, ...] = Field(description="In the order of the arrivals.")
    sent_late_ms: float = Field(
        ge=0,
        description="How long after its arrival the client sent a request, at most; it counts as waiting.",
    )
    most_in_flight: int = Field(ge=1, description="Most requests in flight at a time.")
    throttled: tuple[str, ...] = Field(
        default=(), description="Why the driver lowered the clocks of its GPUs meanwhile."
    )
    load: HostLoad | None = Field(
        default=None, description="What others used of the host meanwhile; null if nobody can say."
    )


class OpenLoopSummary(Frozen):
    """All counted requests of one side in open loop."""

    requests: int = Field(ge=1)
    ttft_ms: BoundedQuantiles = Field(description="Time from the intended arrival to the first token.")
    itl_ms: BoundedQuantiles = Field(description="Gaps between arrivals of tokens, pooled over all requests.")
    e2e_ms: Quantiles = Field(description="Time from the intended arrival to the last token.")
    goodput_per_device: float = Field(
        ge=0, description="Output tokens per second and device of requests that met the SLO."
    )
    good_share: float = Field(ge=0, le=1, description="Share of requests that met the SLO.")
    most_in_flight: int = Field(ge=1)


class OpenLoopSide(Frozen):
    """One side in open loop, until its objective is settled."""

    side: str
    arrivals_per_s: float = Field(gt=0, description="Requests per second that its server got.")
    load: str = Field(description="How that follows from what the side can serve, as part of a sentence.")
    looks: int = Field(ge=0, description="Looks at the misses that shared the error; 0 if none was taken.")
    ended: Settled
    stopped: str = Field(description="Why no more requests were sent, as part of a sentence.")
    spent_s: float = Field(ge=0, description="Seconds that all of it took.")
    stretches: tuple[Stretch, ...] = Field(
        description="Empty if the budget did not allow the first look, or none was needed."
    )
    summary: OpenLoopSummary | None = Field(description="Null if there are no stretches.")

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """All counted requests, in the order of their arrival."""
        return tuple(record for one in self.stretches for record in one.requests)


class OpenLoopResult(Frozen):
    """Both sides in open loop: the same arrivals, in units of each side's own mean time between them."""

    engine: OpenLoopSide
    reference: OpenLoopSide
