"""Where a side is rated: luck with few requests errs against the engine, by simulation and by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from support.judging.judgements import planted_round, speed_point

from engine_specs.spec import Slo
from tasks.judging.measure.summaries import MeasuredRound, summarize
from tasks.judging.results import LoadSummary, RequestRecord, RoundResult
from tasks.judging.selftest import Rate
from tasks.judging.statistics import Served, at_least, at_most, by_estimates, served_at, shown_by

SLO = Slo(ttft_p99_ms=100, itl_p99_ms=1000)
CONFIDENCE = 0.95
REPETITIONS = 300
DECLARED, BUSY = 8, 32


def round_with(concurrency: int, rate: float, late: Sequence[bool], index: int = 0) -> RoundResult:
    """A round with these requests, of which some have to wait for their first token."""
    made = planted_round("vllm", index, concurrency, rate)
    record: RequestRecord = made.requests[0]
    requests = tuple(
        record.model_copy(update={"ttft_ms": 900.0 if one else 10.0, "good": not one}) for one in late
    )
    return made.model_copy(update={"requests": requests})


def served(concurrency: int, rate: float, late: Sequence[bool]) -> Served:
    """A side at one concurrency, in two rounds."""
    half = len(late) // 2
    rounds = [round_with(concurrency, rate, one, n) for n, one in enumerate((late[:half], late[half:]))]
    summary: LoadSummary = summarize([MeasuredRound(one, gaps_ms=(5.0,)) for one in rounds])
    throughput = summary.throughput_per_device.model_copy(
        update={"estimate": rate, "lower": 0.98 * rate, "upper": 1.02 * rate}
    )
    good = {name: summary.good_share * getattr(throughput, name) for name in ("estimate", "lower", "upper")}
    rates = {
        "throughput_per_device": throughput,
        "goodput_per_device": throughput.model_copy(update=good),
    }
    return Served(summary.model_copy(update=rates), shown_by(rounds, "vllm", SLO, CONFIDENCE))


def sides(missing: float, requests: int, seed: int) -> list[list[Served]]:
    """Sides that keep the objective at 8 in flight, and at 32 serve twice as much and miss it so often."""
    source = np.random.default_rng(seed)
    calm = served(DECLARED, 1000.0, [False] * 600)
    drawn = source.random((REPETITIONS, requests)) < missing
    return [[calm, served(BUSY, 2000.0, late.tolist())] for late in drawn]


def times_at(concurrency: int, missing: float, choose: Callable[[list[Served]], Served]) -> Rate:
    """How often a side is rated there; 128 requests were made at 32 in flight."""
    chosen = [choose(one).summary.concurrency for one in sides(missing, 128, 5)]
    return Rate.of(chosen.count(concurrency), len(chosen))


def estimated(found: list[Served]) -> Served:
    """As it was, for both sides and both uses."""
    return by_estimates(found, SLO)


def surely(found: list[Served]) -> Served:
    """Where the reference is asked in open loop."""
    return at_least(found, SLO, DECLARED)


def test_the_reference_hardly_ever_loses_a_load_that_it_serves_within_the_objective() -> None:
    """1 % may miss it; then estimates leave out half of what vLLM serves in a quarter of cases."""
    assert times_at(DECLARED, 0.01, at_most).is_rare
    assert not times_at(DECLARED, 0.01, estimated).is_rare


def test_the_reference_is_hardly_ever_asked_for_more_than_it_serves_within_the_objective() -> None:
    """2 % miss it at 32 in flight: a load from there would show that vLLM misses the objective."""
    assert times_at(BUSY, 0.02, surely).is_rare
    assert not times_at(BUSY, 0.02, estimated).is_rare


def test_a_load_that_is_shown_to_be_served_is_asked_for() -> None:
    calm, busy = served(DECLARED, 1000.0, [False] * 600), served(BUSY, 2000.0, [False] * 384)
    assert busy.shown == "met"
    assert surely([calm, busy]) == busy
    assert surely([calm, busy._replace(shown="underpowered")]) == calm


@pytest.mark.parametrize(
    ("late", "declared", "expected"), [(0, DECLARED, DECLARED), (0, BUSY, BUSY), (1, BUSY, DECLARED)]
)
def test_if_nothing_is_shown_the_declared_load_is_asked_for_or_less(
    late: int, declared: int, expected: int
) -> None:
    few = [
        served(DECLARED, 1000.0, [False] * 60),
        served(BUSY, 2000.0, [True] * late + [False] * (60 - late)),
    ]
    assert {one.shown for one in few} == {"underpowered"}
    assert at_least(few, SLO, declared).summary.concurrency == expected


def test_a_side_that_misses_the_objective_everywhere_is_rated_by_goodput_and_asked_for_less() -> None:
    late = [
        served(DECLARED, 1000.0, [True] * 90 + [False] * 10),
        served(BUSY, 2000.0, [True, False] * 50),
    ]
    assert {one.shown for one in late} == {"missed"}
    assert [choose(late) for choose in (at_most, estimated, surely)] == [late[1], late[1], late[0]]


def test_rounds_of_the_other_side_say_nothing() -> None:
    point = speed_point(2.0, noise=0.0, pairs=120)
    (found,) = served_at([point], "engine", SLO, CONFIDENCE)
    assert (found.summary, found.shown) == (point.engine, "met")
    assert shown_by(point.rounds, "nobody", SLO, CONFIDENCE) == "underpowered"
    late = [one for one in point.rounds if one.side == "engine"]
    spoilt = tuple(
        one.model_copy(update={"requests": round_with(1, 500.0, [True] * 8).requests}) if one in late else one
        for one in point.rounds
    )
    assert shown_by(spoilt, "engine", SLO, CONFIDENCE) == "missed"
    assert shown_by(spoilt, "vllm", SLO, CONFIDENCE) == "met"
