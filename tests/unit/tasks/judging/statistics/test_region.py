"""Where compiling wins: each load by its own bound, and never beyond the objective."""

from typing import Any

import pytest
from support.judging.judgements import measured, protocol, speed_point, workload

from engine_specs.spec import Slo
from tasks.judging.results import SpeedPoint, SpeedResult, SweepPoint
from tasks.judging.statistics import region, region_in_words

# The reference takes 12 ms to the first token at 500 tokens/s; twice as fast an engine 6 ms.
LENIENT = Slo(ttft_p99_ms=1000, itl_p99_ms=1000)


def at(ratio: float, concurrency: int, **changes: Any) -> SpeedPoint:
    return speed_point(ratio, noise=0.01, pairs=8, concurrency=concurrency, **changes)


def timed(*points: SpeedPoint, sweep: tuple[SweepPoint, ...] = ()) -> SpeedResult:
    made = measured("0" * 64, [0.0] * 40, ratio=1.4).speed
    assert isinstance(made, SpeedResult)
    return made.model_copy(update={"points": points, "sweep": sweep})


def test_a_load_is_won_lost_or_not_shown() -> None:
    asked = protocol(load=workload(slo=LENIENT))
    other = SweepPoint(input_tokens=512, output_tokens=16, point=at(2.0, 2))
    noisy = speed_point(1.3, noise=0.5, pairs=8, concurrency=4)
    points = region(timed(at(2.0, 1), at(0.4, 2), noisy, sweep=(other,)), asked)
    assert [one.outcome for one in points] == ["wins", "loses", "not-shown", "wins"]
    assert " ".join(region_in_words(points)) == (
        "Compiling wins at 1 in flight of 8 + 6 tokens and at 2 in flight of 512 + 16 tokens. "
        "It does not at 2 in flight of 8 + 6 tokens. Neither is shown at 4 in flight of 8 + 6 tokens."
    )
    assert list(region_in_words(points[:1])) == []


@pytest.mark.parametrize(
    ("ratio", "limit_ms", "pairs", "outcome"),
    [
        (2.0, 5.0, 8, "not-shown"),
        (2.0, 8.0, 8, "wins"),
        (1.05, 11.8, 8, "not-shown"),
        (1.05, 11.8, 110, "wins"),
    ],
)
def test_an_engine_that_misses_the_objective_never_wins_and_one_that_alone_meets_it_does(
    ratio: float, limit_ms: float, pairs: int, outcome: str
) -> None:
    """Of 24 requests nobody knows whether 1 in 100 is late; of 330 without a miss, few enough are."""
    asked = protocol(load=workload(slo=Slo(ttft_p99_ms=limit_ms, itl_p99_ms=1000)))
    (point,) = region(timed(speed_point(ratio, noise=0.01, pairs=pairs)), asked)
    assert point.outcome == outcome
    assert point.reference_objective == "missed"
    assert point.missed


def test_a_fast_engine_that_alone_misses_the_objective_loses() -> None:
    asked = protocol(load=workload(slo=Slo(ttft_p99_ms=20.0, itl_p99_ms=1000)))
    point = at(2.0, 1)
    late = [
        one.model_copy(
            update={"requests": tuple(r.model_copy(update={"ttft_ms": 30.0}) for r in one.requests)}
        )
        if one.side == "engine"
        else one
        for one in point.rounds
    ]
    (found,) = region(timed(point.model_copy(update={"rounds": tuple(late)})), asked)
    assert (found.outcome, found.engine_objective, found.reference_objective) == (
        "loses",
        "missed",
        "underpowered",
    )


def test_one_late_request_of_few_shows_nothing() -> None:
    """The 99th percentile of 24 requests is the largest: a single late one would decide by estimates."""
    asked = protocol(load=workload(slo=Slo(ttft_p99_ms=20.0, itl_p99_ms=1000)))
    point = at(2.0, 1)
    (first, *others) = point.rounds
    late = first.requests[0].model_copy(update={"ttft_ms": 30.0})
    rounds = (first.model_copy(update={"requests": (late, *first.requests[1:])}), *others)
    (found,) = region(timed(point.model_copy(update={"rounds": rounds})), asked)
    assert (found.outcome, found.missed) == ("wins", False)
