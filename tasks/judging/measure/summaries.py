"""From timed requests to rates and latencies. Pure.

A request is good if its time to the first token and its own mean gap between arrivals are within the SLO's
limits. Whether a side meets the SLO is decided separately, by the pooled 99th percentiles (see
`tasks.judging.gates.rounds.slo`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.spec import Slo
from tasks.judging.measure.completions import Trace
from tasks.judging.measure.prompts import Prompt
from tasks.judging.results import (
    BoundedQuantiles,
    Interval,
    LoadSummary,
    Metric,
    OpenLoopSummary,
    Quantiles,
    RequestRecord,
    RoundResult,
    Stretch,
)
from tasks.judging.statistics import mean_interval, quantile_bounds

SUMMARY_CONFIDENCE = 0.95


class KeptAnswer(Frozen):
    """One timed request with its answer, as it was streamed."""

    prompt: Prompt
    text: str = Field(description="The text of all chunks.")
    claimed_tokens: int = Field(ge=1, description="The tokens that the side counted.")


@dataclass(frozen=True, slots=True)
class MeasuredRound:
    """A round with what is too much to keep in the result, and is kept as long as the measurement runs.

    Attributes:
        result: what is kept.
        gaps_ms: all gaps between arrivals.
        texts: the text of every answer, in the order of the result's requests.
        lot: requests that may be asked again, drawn by lot.
    """

    result: RoundResult
    gaps_ms: tuple[float, ...]
    texts: tuple[str, ...] = ()
    lot: tuple[KeptAnswer, ...] = ()


def record_of(trace: Trace, slo: Slo) -> RequestRecord:
    """Return the figures of one request that are kept."""
    gaps = trace.gaps_ms()
    mean_ms = fmean(gaps) if gaps else 0.0
    good = trace.ttft_ms <= slo.ttft_p99_ms and mean_ms <= slo.itl_p99_ms
    return RequestRecord(
        ttft_ms=round(trace.ttft_ms, 4),
        itl_mean_ms=round(mean_ms, 4),
        itl_max_ms=round(max(gaps, default=0.0), 4),
        gaps=len(gaps),
        slow_gaps=sum(gap > slo.itl_p99_ms for gap in gaps),
        arrivals=len(trace.arrivals_ns),
        largest_chunk=trace.largest_chunk,
        e2e_ms=round(trace.e2e_ms, 4),
        output_tokens=trace.output_tokens,
        good=good,
    )


def summarize(rounds: Sequence[MeasuredRound]) -> LoadSummary:
    """Summarize all rounds of one side at one concurrency."""
    results = [measured.result for measured in rounds]
    records = [record for result in results for record in result.requests]
    gaps = [gap for measured in rounds for gap in measured.gaps_ms]
    tokens = sum(record.output_tokens for record in records)
    return LoadSummary(
        side=results[0].side,
        concurrency=results[0].concurrency,
        rounds=len(results),
        requests=len(records),
        output_tokens=tokens,
        throughput_per_device=_rate(results, "throughput_per_device"),
        goodput_per_device=_rate(results, "goodput_per_device"),
        good_share=sum(record.good for record in records) / len(records),
        ttft_ms=quantiles([record.ttft_ms for record in records]),
        itl_ms=quantiles(gaps or [0.0]),
        tokens_per_arrival=tokens / sum(record.arrivals for record in records),
        largest_chunk=max(record.largest_chunk for record in records),
        e2e_ms=quantiles([record.e2e_ms for record in records]),
    )


def summarize_again(rounds: Sequence[RoundResult], kept: LoadSummary) -> LoadSummary:
    """Summarize rounds that were kept; gaps are not, so their quantiles are those of the kept summary."""
    made = summarize([MeasuredRound(one, gaps_ms=()) for one in rounds])
    return made.model_copy(update={"itl_ms": kept.itl_ms})


def summarize_open_loop(
    stretches: Sequence[Stretch], gaps_ms: Sequence[Sequence[float]], confidence: float
) -> OpenLoopSummary:
    """Summarize all stretches of one side in open loop, at least one.

    Args:
        stretches: the stretches.
        gaps_ms: the gaps between tokens of each request.
        confidence: of the upper bounds of quantiles.
    """
    records = [record for one in stretches for record in one.requests]
    good_tokens = sum(record.output_tokens for record in records if record.good)
    return OpenLoopSummary(
        requests=len(records),
        ttft_ms=bounded_quantiles([(record.ttft_ms,) for record in records], confidence),
        itl_ms=bounded_quantiles(gaps_ms, confidence),
        e2e_ms=quantiles([record.e2e_ms for record in records]),
        goodput_per_device=good_tokens / math.fsum(one.wall_s for one in stretches) / stretches[0].devices,
        good_share=fmean(record.good for record in records),
        most_in_flight=max(one.most_in_flight for one in stretches),
    )


def summarize_open_loop_again(stretches: Sequence[Stretch], kept: OpenLoopSummary) -> OpenLoopSummary:
    """Summarize stretches that were kept; gaps are not, so their quantiles are those of the kept summary."""
    gaps_ms = [()] * sum(len(one.requests) for one in stretches)
    made = summarize_open_loop(stretches, gaps_ms, kept.ttft_ms.confidence)
    return made.model_copy(update={"itl_ms": kept.itl_ms})


def bounded_quantiles(waits_ms: Sequence[Sequence[float]], confidence: float) -> BoundedQuantiles:
    """Return the quantiles of all waits, which are by request, with bounds; 0 if nobody waited."""
    pooled = quantiles([wait for own in waits_ms for wait in own] or [0.0])
    bounds = quantile_bounds(waits_ms, confidence)
    return BoundedQuantiles(**pooled.model_dump(), confidence=confidence, bounds=bounds)


def _rate(rounds: Sequence[RoundResult], metric: Metric) -> Interval:
    """Return the interval of the mean over blocks."""
    blocks = [list(group) for _, group in groupby(rounds, key=lambda one: one.block)]
    means = [fmean(result.per_second(metric) for result in block) for block in blocks]
    return mean_interval(means, SUMMARY_CONFIDENCE)


def quantiles(values: Sequence[float]) -> Quantiles:
    """Return the nearest-rank quantiles of at least one value."""
    ordered = sorted(values)
    p50, p90, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.50, 0.90, 0.99))
    return Quantiles(count=len(ordered), mean=fmean(ordered), p50=p50, p90=p90, p99=p99)
