"""Bounds of the share of requests that miss the objective."""

import pytest
from support.judging.judgements import speed_point

from engine_specs.spec import Slo
from tasks.judging.statistics import (
    Misses,
    limits_of,
    look_confidence,
    miss_interval,
    misses_of,
    requests_of_look,
    requests_to_settle,
    requests_without_miss,
)

ONES = [1.0] * 2000


@pytest.mark.parametrize(("confidence", "requests"), [(0.95, 299), (0.99, 459)])
def test_so_many_requests_without_a_miss_are_enough_and_one_less_is_not(
    confidence: float, requests: int
) -> None:
    assert requests_without_miss(confidence) == requests
    none = [0.0] * requests
    assert miss_interval(none, ONES[:requests], confidence).upper <= 0.01
    assert miss_interval(none[1:], ONES[1:requests], confidence).upper > 0.01


def test_looks_share_the_error_and_the_first_needs_no_more_than_it_has() -> None:
    errors = [1 - look_confidence(0.95, number) for number in range(1, 40)]
    assert sum(errors) == pytest.approx(0.05)
    assert errors == sorted(errors, reverse=True)
    first, second = (requests_of_look(0.95, number) for number in (1, 2))
    assert second == 2 * first
    assert miss_interval([0.0] * first, ONES[:first], look_confidence(0.95, 1)).upper <= 0.01


def test_misses_that_come_together_say_less_than_as_many_lone_ones() -> None:
    together = [float(place in range(40, 46)) for place in range(1200)]
    apart = [float(place % 200 == 40) for place in range(1200)]
    close, lone = (miss_interval(one, ONES[:1200], 0.95) for one in (together, apart))
    assert close.estimate == lone.estimate == pytest.approx(0.005)
    assert lone.upper <= 0.0105 < close.upper
    assert close.lower < lone.lower


def test_gaps_of_a_request_are_one_observation() -> None:
    """A request whose gaps were all too long counts by its gaps, and shows no more than one request."""
    gaps = [31.0] * 500
    slow = [31.0, *[0.0] * 499]
    found = miss_interval(slow, gaps, 0.95)
    assert found.estimate == pytest.approx(1 / 500)
    assert found.upper == pytest.approx(miss_interval([1.0, *[0.0] * 499], ONES[:500], 0.95).upper, rel=1e-9)
    spread = miss_interval([1.0] * 31 + [0.0] * 469, gaps, 0.95)
    assert spread.estimate == pytest.approx(found.estimate)


def test_one_limit_that_is_missed_is_enough_and_both_have_to_be_met() -> None:
    none, many, few = [0.0] * 400, [float(place % 8 == 0) for place in range(400)], [1.0] * 6 + [0.0] * 394
    gaps = [10.0] * 400
    assert limits_of(Misses(none, none, gaps), 0.95).kept == "met"
    assert limits_of(Misses(many, none, gaps), 0.95).kept == "missed"
    assert limits_of(Misses(none, [10.0 * one for one in many], gaps), 0.95).kept == "missed"
    assert limits_of(Misses(few, none, gaps), 0.95).kept == "underpowered"
    assert limits_of(Misses(none, none, [0.0] * 400), 0.95).kept == "met"


def test_the_requests_that_would_settle_it_do_so() -> None:
    few = miss_interval([0.0] * 64, ONES[:64], 0.95)
    assert requests_to_settle(few, 64, 0.95) == 299
    some = [float(place % 200 == 40) for place in range(400)]
    needed = requests_to_settle(miss_interval(some, ONES[:400], 0.95), 400, 0.95)
    assert needed is not None
    more = [float(place % 200 == 40) for place in range(needed + needed // 5)]
    assert miss_interval(more, [1.0] * len(more), 0.95).upper <= 0.01
    at_the_limit = miss_interval([float(place % 100 == 7) for place in range(1000)], ONES[:1000], 0.95)
    assert requests_to_settle(at_the_limit, 1000, 0.95) is None


def test_what_of_a_request_misses_the_objective() -> None:
    made = speed_point(1.0, noise=0.0, pairs=3).rounds[0].requests
    requests = [one.model_copy(update={"slow_gaps": 3}) for one in made]
    assert misses_of(requests, Slo(ttft_p99_ms=12.0, itl_p99_ms=1)) == Misses(
        [0.0] * 3, [3.0] * 3, [31.0] * 3
    )
    assert misses_of(requests, Slo(ttft_p99_ms=11.9, itl_p99_ms=1)).late == [1.0] * 3
