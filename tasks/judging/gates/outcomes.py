"""What each gate came to: an outcome, the sentence that explains it, and the numbers behind it."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.results import Interval, Metric

Tested = Literal["pass", "fail", "underpowered"]
"""`underpowered`: too few samples to tell, whatever the truth is."""


class RegretOutcome(Frozen):
    """Mean regret against its margin; every text is one observation."""

    outcome: Tested
    reason: str
    regret_nats: Interval = Field(
        description="Mean over texts of the mean regret per token, each text counted up to the cap."
    )
    uncapped_mean_nats: float = Field(
        description="Mean regret as it is; equals the estimate unless the cap bit."
    )
    agreement: Interval = Field(
        description="Share of tokens that the reference would have chosen, too: mean over texts."
    )
    samples: int = Field(description="Texts.")
    samples_needed: int = Field(
        description="Texts that would decide; not above `samples` unless underpowered."
    )


class LengthOutcome(Frozen):
    """Mean length of greedy continuations against its bounds."""

    outcome: Tested
    reason: str
    ratio: Interval = Field(description="Engine / reference.")
    samples: int
    samples_needed: int


class TokenizerOutcome(Frozen):
    """Round trips of text through both servers."""

    outcome: Literal["same", "different"]
    reason: str
    texts: int


class SpeedOutcome(Frozen):
    """Ratio of speeds against the bar."""

    outcome: Literal["faster", "not-faster", "noisy"]
    reason: str
    ratio: Interval = Field(description="Engine / reference at the operating point.")
    metric: Metric = Field(description="What was compared; throughput where a goodput was zero.")
    pairs: int
    pairs_needed: int


class SameEngineOutcome(Frozen):
    """A server measured against itself: what the comparison adds of its own."""

    outcome: Literal["alike", "biased"]
    reason: str
    ratio: Interval


class SloOutcome(Frozen):
    """The engine's 99th percentiles against the objective."""

    outcome: Literal["met", "missed"]
    reason: str
    good_share: Interval = Field(description="Share of the engine's requests that met the objective.")
    reference_meets: bool = Field(description="Whether the fastest vLLM configuration met it.")


class EconomicsOutcome(Frozen):
    """Money per month at the declared load."""

    outcome: Literal["positive", "negative"]
    reason: str
    reference_device_hours: float
    engine_device_hours: float = Field(description="At the lower bound of the speed ratio.")
    saved_usd: float = Field(description="Device time saved per month.")
    build_usd: float = Field(description="Device time of a month's builds, measuring included.")
    upkeep_usd: float = Field(description="Engineers' time per month.")
    net_usd: float
    break_even_requests_per_day: float | None = Field(
        description="None where the engine saves nothing per request."
    )
    lines: tuple[str, ...] = Field(description="The arithmetic, one step a line.")
