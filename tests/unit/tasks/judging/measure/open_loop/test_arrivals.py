"""When requests arrive, and how many a server gets."""

import math
from statistics import fmean, stdev

import pytest
from support.judging.judgements import protocol, speed_point, workload

from engine_specs.spec import Arrivals, Slo
from tasks.judging.measure.open_loop import load_of, rate_of
from tasks.judging.measure.open_loop.arrivals import arrival_times

LENIENT = Slo(ttft_p99_ms=1000, itl_p99_ms=1000)


def test_arrivals_are_poisson_and_each_side_gets_the_same_in_its_own_time() -> None:
    times = arrival_times(7, 0, 4000, 50.0)
    gaps = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    assert times == sorted(times)
    assert fmean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert stdev(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert sum(gap > 3 / 50 for gap in gaps) / 4000 == pytest.approx(math.exp(-3), rel=0.2)
    assert arrival_times(7, 0, 4000, 10.0) == pytest.approx([5 * one for one in times])
    assert arrival_times(7, 1, 4, 50.0) != times[:4] != arrival_times(8, 0, 4, 50.0)


def test_a_server_gets_a_share_of_what_it_serves_where_it_is_best_within_the_objective() -> None:
    points = [speed_point(2.0, noise=0.0, pairs=4, concurrency=c, rate=r) for c, r in ((1, 500), (8, 2000))]
    asked = protocol(load=workload(output_tokens=32, slo=LENIENT, concurrency=(1, 8), operating_point=1))
    best = load_of(points, "engine", asked, 1)
    rate = rate_of(best, 1, asked.workload)
    assert rate.per_s == pytest.approx(0.8 * 4000 / 32)
    assert rate.load == "80% of the 125 that it can serve with 8 in flight"
    assert rate_of(best, 4, asked.workload).per_s == pytest.approx(4 * rate.per_s)
    late = points[1].engine.ttft_ms.model_copy(update={"p99": 5000.0})
    beyond = points[1].model_copy(update={"engine": points[1].engine.model_copy(update={"ttft_ms": late})})
    assert load_of([points[0], beyond], "engine", asked, 1).concurrency == 1


def test_the_reference_is_asked_for_more_than_declared_only_if_it_was_shown_to_serve_it() -> None:
    few, many = (
        [
            speed_point(2.0, noise=0.0, pairs=pairs, concurrency=c, rate=r)
            for c, r in ((1, 500.0), (8, 2000.0))
        ]
        for pairs in (4, 140)
    )
    asked = protocol(load=workload(output_tokens=32, slo=LENIENT, concurrency=(1, 8), operating_point=1))
    assert load_of(few, "reference", asked, 1).concurrency == 1
    assert load_of(many, "reference", asked, 1).concurrency == 8
    # A later attempt has less of the error, so as many requests show less.
    assert load_of(many, "reference", asked, 9).concurrency == 1


def test_a_declared_rate_is_that_of_every_side() -> None:
    points = [speed_point(2.0, noise=0.0, pairs=4, rate=500)]
    load = workload(output_tokens=32, arrivals=Arrivals(per_s=3.0))
    rates = [rate_of(side, 1, load) for side in (points[0].engine, points[0].reference)]
    assert {one.per_s for one in rates} == {3.0}
    assert rates[0].load == "as declared; it can serve 31.2 per second"
