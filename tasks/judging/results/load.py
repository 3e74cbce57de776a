"""A side under load: requests, rounds, and one point per number of requests in flight."""

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.conditions import HostLoad
from tasks.judging.results.quantities import Interval, Metric, Quantiles


class RequestRecord(Frozen):
    """One timed request."""

    ttft_ms: float = Field(description="Time from sending to the first token.")
    itl_mean_ms: float = Field(
        description="Mean gap between arrivals of tokens; the whole time if all tokens arrived at once."
    )
    itl_max_ms: float = Field(description="Longest of these gaps.")
    gaps: int = Field(ge=0, description="Number of these gaps; 0 if there was but one token.")
    slow_gaps: int = Field(ge=0, description="Those of them that were longer than the SLO's limit.")
    arrivals: int = Field(ge=1, description="Times at which tokens arrived.")
    largest_chunk: int = Field(ge=1, description="Most tokens in one chunk of the stream.")
    e2e_ms: float = Field(description="Time from sending to the last token.")
    output_tokens: int
    good: bool = Field(description="Whether the first token and the mean gap met the SLO.")


class RoundResult(Frozen):
    """One round: a closed loop of `concurrency` requests in flight over fresh prompts."""

    side: str = Field(description="Name of the side that was asked.")
    concurrency: int
    index: int = Field(description="Place in the sequence of rounds at this concurrency.")
    block: int = Field(
        description="Place of its block: the rounds that one start of a side makes. If all sides stay up, "
        "each round is a block."
    )
    started_s: float = Field(description="Seconds since the first round of this measurement.")
    wall_s: float = Field(gt=0, description="Time from the first request sent to the last token received.")
    devices: int
    prompts_sha256: str = Field(description="Digest of the prompts, in order; no two rounds share one.")
    answers_sha256: str = Field(
        description="Digest of the answers' texts and counted tokens, in the order of the requests."
    )
    requests: tuple[RequestRecord, ...]
    throttled: tuple[str, ...] = Field(
        default=(),
        description="Why the driver lowered the clocks of its GPUs meanwhile; empty if it did not.",
    )
    load: HostLoad | None = Field(
        default=None, description="What others used of the host meanwhile; null if nobody can say."
    )

    def per_second(self, metric: Metric) -> float:
        """Return output tokens per second and device, of all requests or of the good ones."""
        counted = [r for r in self.requests if r.good or metric == "throughput_per_device"]
        return sum(record.output_tokens for record in counted) / self.wall_s / self.devices


class LoadSummary(Frozen):
    """All counted rounds of one side at one concurrency."""

    side: str
    concurrency: int
    rounds: int
    requests: int
    output_tokens: int
    throughput_per_device: Interval = Field(description="Output tokens per second and device, over rounds.")
    goodput_per_device: Interval = Field(description="The same of requests that met the SLO.")
    good_share: float = Field(description="Share of requests that met the SLO.")
    ttft_ms: Quantiles
    itl_ms: Quantiles = Field(
        description="Gaps between arrivals of tokens, pooled over all requests of all rounds."
    )
    tokens_per_arrival: float = Field(ge=1, description="Mean number of tokens that arrived at a time.")
    largest_chunk: int = Field(ge=1, description="Most tokens in one chunk of a stream.")
    e2e_ms: Quantiles


class LoadPoint(Frozen):
    """One side at one concurrency, with its rounds."""

    summary: LoadSummary
    rounds: tuple[RoundResult, ...]
