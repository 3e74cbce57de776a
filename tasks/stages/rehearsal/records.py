"""What a rehearsal found. Pure."""

from collections.abc import Sequence
from itertools import groupby
from statistics import fmean

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.settings import QuietHost
from tasks.hosts import HostClass
from tasks.judging import Interval, PlacementChoice, SpeedPlan
from tasks.judging.results import Metric, RoundResult
from tasks.judging.statistics import mean_interval, pairs_of, ratio_interval

SIDE_CONFIDENCE = 0.95


class RehearsedSide(Frozen):
    """One side, at the operating point."""

    name: str
    toolchain: str = Field(description="Name of the toolchain that served it.")
    version: str = Field(description="Tool of this toolchain, with its version, provider and identity.")
    tree: str = Field(description="Digest of the tree that was served.")
    speed: Interval = Field(description="Tokens per second and device, with bounds over cycles.")


class RehearsedRatio(Frozen):
    """The speeds of two sides, from the same cycles."""

    side: str
    to: str = Field(description="The side that it is divided by.")
    ratio: Interval = Field(description="Its bounds share the permitted error with those of all ratios.")


class Rehearsal(Frozen):
    """The sides of an upgrade, measured together."""

    spec: str
    variant: str
    release: str = Field(description="The release whose engine is compared with.")
    toolchain: str = Field(description="Name of the toolchain that is rehearsed.")
    now: str = Field(description="What it is compared with: tool, version, provider, identity.")
    rehearsed: str = Field(description="What is rehearsed, likewise.")
    metric: Metric
    concurrency: int = Field(description="Requests in flight: the operating point.")
    host: HostClass
    placement: PlacementChoice
    quiet_host: QuietHost
    cycles: int = Field(description="How often each side was asked.")
    made_again: int = Field(description="Cycles that others disturbed and that were made again.")
    sides: tuple[RehearsedSide, ...]
    ratios: tuple[RehearsedRatio, ...]
    notes: tuple[str, ...] = Field(description="What else differs, or was left out, in sentences.")


def speed_of(side: str, rounds: Sequence[RoundResult], metric: Metric) -> Interval:
    """Return the mean speed of a side, with bounds over its blocks."""
    own = [one for one in rounds if one.side == side]
    blocks = [list(group) for _, group in groupby(own, key=lambda one: one.block)]
    means = [fmean(one.per_second(metric) for one in block) for block in blocks]
    return mean_interval(means, SIDE_CONFIDENCE)


def ratios_of(
    compared: Sequence[tuple[str, str]], rounds: Sequence[RoundResult], plan: SpeedPlan
) -> tuple[RehearsedRatio, ...]:
    """Return the ratio of each two sides, by name; the declared error is shared between all of them.

    Rounds of other sides may lie between those of a pair, but both are of one cycle.
    """
    confidence = 1 - (1 - plan.gate.confidence) / len(compared)
    found = []
    for side, to in compared:
        both = [one for one in rounds if one.side in (side, to)]
        pairs = pairs_of(both, plan.gate.metric, engine=side, start_spread=plan.start_spread)
        found.append(RehearsedRatio(side=side, to=to, ratio=ratio_interval(pairs, confidence=confidence)))
    return tuple(found)
