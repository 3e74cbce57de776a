"""The objective by estimates: where a side is best, and how much it can serve. Pure.

A 99th percentile of few requests is an estimate, not a proof: whether the objective is met is decided by
bounds (`miss_bounds`). Estimates choose the concurrency at which a side is rated.
"""

from collections.abc import Sequence

from engine_specs.spec import Slo
from tasks.judging.results import LoadSummary


def meets(summary: LoadSummary, slo: Slo) -> bool:
    """Whether the pooled 99th percentiles of one side are within the objective."""
    return summary.ttft_ms.p99 <= slo.ttft_p99_ms and summary.itl_ms.p99 <= slo.itl_p99_ms


def best_within(summaries: Sequence[LoadSummary], slo: Slo) -> LoadSummary:
    """Return the fastest of those that meet the objective or, if none does, of all.

    The fastest has the largest goodput; of those that have none, the largest throughput.
    """
    within = [one for one in summaries if meets(one, slo)]
    return max(within or summaries, key=_rates)


def _rates(summary: LoadSummary) -> tuple[float, float]:
    return summary.goodput_per_device.estimate, summary.throughput_per_device.estimate
