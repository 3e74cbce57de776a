"""From timed requests to rates and latencies. Pure.

A request is good if its time to the first token and its own mean time between tokens are within the SLO's
limits. Whether a side meets the SLO is decided separately, by the pooled 99th percentiles (see
`tasks.judging.gates.slo`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from engine_specs.spec import Slo
from tasks.judging.measure.completions import Trace
from tasks.judging.results import Interval, LoadSummary, Metric, Quantiles, RequestRecord, RoundResult
from tasks.judging.statistics import mean_interval

SUMMARY_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class MeasuredRound:
    """A round with the times between all tokens, which are too many to keep in the result."""

    result: RoundResult
    itl_ms: tuple[float, ...]


def record_of(trace: Trace, slo: Slo) -> RequestRecord:
    """Return the figures of one request that are kept."""
    waits = trace.itl_ms()
    mean_ms = fmean(waits) if waits else 0.0
    good = trace.ttft_ms <= slo.ttft_p99_ms and mean_ms <= slo.itl_p99_ms
    return RequestRecord(
        ttft_ms=round(trace.ttft_ms, 4),
        itl_mean_ms=round(mean_ms, 4),
        itl_max_ms=round(max(waits, default=0.0), 4),
        e2e_ms=round(trace.e2e_ms, 4),
        output_tokens=trace.output_tokens,
        good=good,
    )


def summarize(rounds: Sequence[MeasuredRound]) -> LoadSummary:
    """Summarize all rounds of one side at one concurrency."""
    results = [measured.result for measured in rounds]
    records = [record for result in results for record in result.requests]
    waits = [wait for measured in rounds for wait in measured.itl_ms]
    return LoadSummary(
        side=results[0].side,
        concurrency=results[0].concurrency,
        rounds=len(results),
        requests=len(records),
        output_tokens=sum(record.output_tokens for record in records),
        throughput_per_device=_rate(results, "throughput_per_device"),
        goodput_per_device=_rate(results, "goodput_per_device"),
        good_share=sum(record.good for record in records) / len(records),
        ttft_ms=quantiles([record.ttft_ms for record in records]),
        itl_ms=quantiles(waits or [0.0]),
        e2e_ms=quantiles([record.e2e_ms for record in records]),
    )


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
