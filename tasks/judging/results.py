"""What was measured: frozen records that survive a JSON round trip, with every sample that gates read."""

import math
from itertools import groupby
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import QuietHost
from tasks.judging.conditions import HostLoad, PlacementChoice, SideMemory, Start
from tasks.judging.endpoint import Side

Metric = Literal["goodput_per_device", "throughput_per_device"]

Ended = Literal["clear", "resolved", "budget", "underpowered", "undecided"]
"""Why no more pairs were made: the ratio is clear of the bar; it is as precise as declared; the budget is
spent; it is too small to settle anything; or the point decides nothing."""


class Interval(Frozen):
    """An estimate with two one-sided bounds, each of the stated confidence."""

    estimate: float
    lower: float
    upper: float
    confidence: float = Field(description="Confidence of each bound taken alone.")

    def text(self, pattern: str = "{:.3f}") -> str:
        """Write the interval as text, such as `1.243 [1.201, 1.287]`."""
        estimate, lower, upper = (pattern.format(value) for value in (self.estimate, self.lower, self.upper))
        return f"{estimate} [{lower}, {upper}]"


class Quantiles(Frozen):
    """Nearest-rank quantiles of a pooled sample."""

    count: int = Field(ge=1)
    mean: float
    p50: float
    p90: float
    p99: float


class RequestRecord(Frozen):
    """One timed request."""

    ttft_ms: float = Field(description="Time from sending to the first token.")
    itl_mean_ms: float = Field(
        description="Mean gap between arrivals of tokens; the whole time if all tokens arrived at once."
    )
    itl_max_ms: float = Field(description="Longest of these gaps.")
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
    host_busy: str = Field(
        default="", description="Who kept the host busy although it had to be quiet; empty if nobody did."
    )

    @property
    def at_operating_point(self) -> LoadPoint:
        """The results at the operating point, which decide."""
        return next(p for p in self.points if p.summary.concurrency == self.operating_point)


class Departure(Frozen):
    """One token of a continuation that the reference would not have chosen there."""

    index: int = Field(ge=0, description="Place in the continuation; 0 is the token after the context.")
    engine_token: int
    reference_token: int = Field(description="The reference's own choice after the same tokens.")
    regret_nats: float = Field(
        gt=0, description="How much less likely the reference finds the engine's token."
    )


class RegretSample(Frozen):
    """One held-out text, continued by the engine."""

    sample_id: str = Field(description="Index of the text.")
    in_flight: int = Field(ge=1, description="Requests that the engine had in flight.")
    context_tokens: int = Field(ge=1, description="Tokens of context that the engine was given.")
    engine_tokens: tuple[int, ...] = Field(min_length=1, description="The engine's continuation.")
    departures: tuple[Departure, ...] = Field(
        description="Tokens that are not the reference's own choice; the others have no regret."
    )

    @property
    def regret_nats(self) -> float:
        """The mean regret of the continuation's tokens."""
        return math.fsum(one.regret_nats for one in self.departures) / len(self.engine_tokens)

    def tokens_beyond(self, nats: float) -> int:
        """Return how many of its tokens have a larger regret."""
        return sum(one.regret_nats > nats for one in self.departures)

    @property
    def agreement(self) -> float:
        """The share of its tokens that are the reference's own choice."""
        return 1 - len(self.departures) / len(self.engine_tokens)


class LengthSample(Frozen):
    """Greedy continuations of one window by both sides."""

    sample_id: str
    engine_tokens: int
    reference_tokens: int
    common_prefix_tokens: int = Field(description="Number of leading tokens that are equal.")


class TokenizerCheck(Frozen):
    """The comparison of one text on both servers."""

    text: str = Field(description="The text, shortened.")
    same_ids: bool = Field(
        description="Whether both servers read it as the same token ids, or as the same number if one does "
        "not return them."
    )
    same_text: bool = Field(
        description="Whether the engine's text is what the reference decodes from its token ids; for a text "
        "streamed as in timed rounds, whether the engine writes the same if nothing is timed."
    )
    detail: str = Field(default="", description="What differs.")


class AccuracyResult(Frozen):
    """Answers of one side, scored by the reference."""

    side: str
    reference: str
    protocol_digest: str
    samples: tuple[RegretSample, ...]
    lengths: tuple[LengthSample, ...]
    tokenizer: tuple[TokenizerCheck, ...]


class SpeedPoint(Frozen):
    """Both sides at one concurrency; rounds in the order of their blocks.

    The unit of the statistics is the block: what a start of a side decides (memory layout, clocks, tuning) is
    common to all of its rounds.
    """

    concurrency: int
    planned_pairs: int = Field(description="Pairs that the declared resolution needs, by their noise.")
    looks: int = Field(ge=0, description="Looks at the ratio that shared the error; 0 if it decides nothing.")
    error_share: float = Field(
        gt=0, le=1, description="Share of the permitted error that is left by other looks and attempts."
    )
    ended: Ended = Field(description="Why no more rounds were made, in a word.")
    stopped: str = Field(description="Why no more rounds were made.")
    made_again: int = Field(
        default=0, ge=0, description="How often pairs were discarded because others disturbed them."
    )
    rounds: tuple[RoundResult, ...]
    engine: LoadSummary
    reference: LoadSummary

    @property
    def pairs_in_words(self) -> str:
        """How many pairs there are, and of what."""
        blocks = [len(list(group)) for _, group in groupby(self.rounds, key=lambda one: one.block)]
        of = "rounds" if max(blocks) == 1 else f"blocks of {max(blocks)} rounds, each after a start"
        return f"{len(blocks) // 2} pairs of {of}"


class QualifyingRound(Frozen):
    """The speed of one reference when the fastest one was chosen."""

    reference: str
    rates: tuple[float, ...] = Field(description="The metric in each of its rounds.")


class NotMeasured(Frozen):
    """No speed was measured: it would change nothing, the budget is too small, or the host was busy."""

    outcome: Literal["not-measured"] = "not-measured"
    cause: Literal["rejected", "unaffordable", "host-busy"] = Field(
        default="rejected",
        description="rejected: its speed would change nothing; unaffordable: the budget is too small; "
        "host-busy: others computed on the host.",
    )
    reason: str = Field(description="Why, in a sentence.")


class BlockCost(Frozen):
    """What one block of an in-turn measurement took."""

    side: str = Field(description="The side that was started.")
    ready_s: float = Field(ge=0, description="Seconds from its start until it was ready.")
    spent_s: float = Field(gt=0, description="Seconds that the whole block took, start and stop included.")
    rounds: int = Field(ge=1, description="Counted rounds at the operating point.")
    throttled: tuple[str, ...] = Field(
        description="Why clocks were lowered during its rounds; usually empty."
    )


class TimedSample(Frozen):
    """One timed answer of the engine, read and scored after the rounds."""

    concurrency: int = Field(ge=1, description="Requests that were in flight.")
    claimed_tokens: int = Field(ge=1, description="Its tokens by the engine's own count.")
    same_text: bool = Field(
        description="Whether it has the text of the ids that the engine gave when it was asked again."
    )
    tokens: tuple[int, ...] = Field(
        description="Its ids: those given when asked again, as far as they have the same text, then the "
        "reference's reading of the rest."
    )
    scored_tokens: int = Field(ge=0, description="How many of them the reference scored, from the first on.")
    departures: tuple[Departure, ...] = Field(
        description="Scored tokens that are not the reference's own choice."
    )

    @property
    def regret_nats(self) -> float:
        """The mean regret of the scored tokens; 0 if there are none."""
        return math.fsum(one.regret_nats for one in self.departures) / max(1, self.scored_tokens)

    @property
    def missing_share(self) -> float:
        """The share of the claimed tokens that its text does not have."""
        return max(0.0, 1 - len(self.tokens) / self.claimed_tokens)

    @property
    def distinct_share(self) -> float:
        """The share of its tokens that are different ones."""
        return len(set(self.tokens)) / max(1, len(self.tokens))


class TimedCount(Frozen):
    """The tokens of all timed answers of one side, by its own count and by the reference's tokenizer."""

    side: str
    claimed: tuple[int, ...] = Field(min_length=1, description="By the side's count, per answer.")
    read: tuple[int, ...] = Field(
        min_length=1, description="Tokens that the reference reads in the text; special ones have no text."
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the claimed tokens that can be read, per answer."""
        return tuple(min(1.0, r / c) for r, c in zip(self.read, self.claimed, strict=True))


class TimedAnswers(Frozen):
    """What the reference found in the answers of timed rounds."""

    samples: tuple[TimedSample, ...] = Field(min_length=1, description="Answers of the engine, drawn by lot.")
    engine: TimedCount = Field(description="All answers of the engine.")
    reference: TimedCount = Field(description="All answers of the side that it is compared with.")


class SpeedResult(Frozen):
    """Engine against the fastest reference that qualified."""

    engine: str
    reference: str
    protocol_digest: str
    attempt: int = Field(
        default=1, ge=1, description="How often this question was measured, this time included."
    )
    qualifying: tuple[QualifyingRound, ...]
    operating_point: int
    points: tuple[SpeedPoint, ...]
    blocks: tuple[BlockCost, ...] = Field(
        default=(), description="The blocks, in their order, if sides were measured in turn."
    )
    quiet_host: QuietHost = Field(
        default="record", description="Whether the host had to be quiet while it was measured."
    )
    timed: TimedAnswers = Field(description="What the timed rounds were answered with.")

    @property
    def at_operating_point(self) -> SpeedPoint:
        """The results at the operating point, which decide."""
        return next(p for p in self.points if p.concurrency == self.operating_point)


class IdleCheck(Frozen):
    """What an idle side on the same GPUs costs the side that is asked."""

    side: str = Field(description="The side that was asked.")
    ratio: Interval = Field(
        description="Its speed next to idle sides, relative to its speed while they are suspended."
    )
    pairs: int = Field(ge=2, description="Pairs of rounds, alone and next to idle sides.")
    tolerance: float = Field(gt=0, description="Loss of speed that would not matter.")

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes a loss that would matter, or nothing but such a loss."""
        return self.ratio.lower >= 1 - self.tolerance or self.ratio.upper < 1 - self.tolerance

    @property
    def costs_nothing(self) -> bool:
        """Whether no loss that would matter is possible by the interval.

        One that could not tell after all pairs, but holds 1, may reach twice as far below 1 as the tolerance.
        """
        allowed = 2 * self.tolerance if self.ratio.upper >= 1 else self.tolerance
        return self.ratio.lower >= 1 - allowed

    def text(self) -> str:
        """Write it as part of a sentence."""
        return (
            f"next to idle sides, {self.side} is {self.ratio.text()} times as fast as alone "
            f"({self.pairs} pairs; a loss of {self.tolerance:.1%} is allowed)"
        )


class Conditions(Frozen):
    """The conditions of a measurement."""

    placement: PlacementChoice
    idle: tuple[IdleCheck, ...] = Field(
        default=(), description="What idle sides cost, if sides share GPUs, or were to share them."
    )
    starts: tuple[Start, ...] = Field(default=(), description="Every start of a side, in order.")
    memory: tuple[SideMemory, ...] = Field(
        default=(), description="GPU memory of each side; empty if nothing computes on a GPU."
    )


class Measured(Frozen):
    """Everything that was measured of one engine under one protocol."""

    protocol_digest: str
    conditions: Conditions
    accuracy: AccuracyResult = Field(description="The engine against the first reference.")
    references: tuple[AccuracyResult, ...] = Field(
        default=(), description="The other references against the first one."
    )
    speed: SpeedResult | NotMeasured = Field(description="The timed rounds, or why there are none.")
