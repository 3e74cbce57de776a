"""Bounds of quantiles agree with what is decided about limits, and hold for requests that wait together."""

from random import Random

import pytest
from support.judging.judgements import open_loop_side

from engine_specs.spec import Slo
from tasks.judging.results import RequestRecord
from tasks.judging.statistics import limits_of, misses_of, quantile_bounds

CONFIDENCE = 0.96


def waits_of(requests: int, gaps: int = 1) -> list[list[float]]:
    source = Random(7)
    return [[round(source.lognormvariate(2, 0.4), 4) for _ in range(gaps)] for _ in range(requests)]


def records(waits: list[list[float]], limit_ms: float) -> list[RequestRecord]:
    """One request per wait, whose first token took as long, and whose gaps are the same waits."""
    (usual,) = open_loop_side("engine", 500.0, 1).requests
    return [
        usual.model_copy(
            update={"ttft_ms": own[0], "gaps": len(own), "slow_gaps": sum(one > limit_ms for one in own)}
        )
        for own in waits
    ]


@pytest.mark.parametrize("gaps", [1, 8])
def test_a_99th_percentile_is_within_a_limit_exactly_if_the_limit_is_shown_to_be_met(gaps: int) -> None:
    waits = waits_of(900, gaps)
    found = quantile_bounds(waits, CONFIDENCE)[2]
    assert found.upper is not None
    for limit_ms, kept in (
        (found.upper, "met"),
        (found.upper - 1e-3, "underpowered"),
        (found.lower, "missed"),
    ):
        slo = Slo(ttft_p99_ms=1e6, itl_p99_ms=limit_ms)
        assert limits_of(misses_of(records(waits, limit_ms), slo), CONFIDENCE).kept == kept


def test_bounds_enclose_the_quantiles_and_grow_with_them() -> None:
    waits = waits_of(900)
    ordered = sorted(one for (one,) in waits)
    bounds = quantile_bounds(waits, CONFIDENCE)
    for place, one in zip((449, 809, 890), bounds, strict=True):
        assert one.upper is not None
        assert one.lower < ordered[place] < one.upper
    assert [one.lower for one in bounds] == sorted(one.lower for one in bounds)


def test_few_requests_have_no_upper_bound_of_what_one_in_a_hundred_waits() -> None:
    median, _, highest = quantile_bounds(waits_of(100), CONFIDENCE)
    assert median.upper is not None
    assert highest.upper is None
    assert highest.lower > 0


def test_requests_that_wait_together_say_less() -> None:
    apart = [[100.0] if place % 200 == 50 else [10.0] for place in range(1600)]
    together = sorted(apart)
    assert quantile_bounds(apart, CONFIDENCE)[2].upper == 10.0
    assert quantile_bounds(together, CONFIDENCE)[2].upper == 100.0


def test_answers_of_one_token_have_no_gaps_to_bound() -> None:
    for one in quantile_bounds([()] * 400, CONFIDENCE):
        assert (one.lower, one.upper) == (0.0, None)
