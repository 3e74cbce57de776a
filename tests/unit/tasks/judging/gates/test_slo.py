"""The gate `slo`: met and missed are shown, in open loop, and everything else is underpowered."""

from typing import Any

import pytest
from support.judging.judgements import measured, open_loop, open_loop_side, protocol

from engine_specs.spec import Slo
from tasks.judging.gates import Evidence
from tasks.judging.gates.rounds.slo import SloGate, SloOutcome, judge_slo
from tasks.judging.results import LeftOut, OpenLoopResult, SpeedResult

# Requests of the engine take 8.6 ms to the first token, those of vLLM 12 ms; 99 % of them have so much time.
WITHIN = Slo(ttft_p99_ms=50, itl_p99_ms=50)


def timed(result: OpenLoopResult, *, attempt: int = 1) -> SpeedResult:
    made = measured("0" * 64, [0.0] * 40, ratio=1.4).speed
    assert isinstance(made, SpeedResult)
    return made.model_copy(update={"open_loop": result, "attempt": attempt})


def judged(result: OpenLoopResult, slo: Slo = WITHIN, *, attempt: int = 1, **plan: Any) -> SloOutcome:
    return judge_slo(timed(result, attempt=attempt), slo, protocol(**plan).speed)


def test_what_no_request_of_enough_misses_is_met() -> None:
    outcome = judged(open_loop(requests=400))
    assert (outcome.outcome, outcome.reference, outcome.requests) == ("met", "underpowered", 400)
    assert outcome.late is not None
    assert outcome.late.upper <= 0.01
    assert "0.00% of 400 requests had to wait more than 50 ms" in outcome.reason
    assert "1% may: the objective is met." in outcome.reason
    assert "vllm, at 12.5 requests per second, was not shown to miss it: 0.00% of 64" in outcome.reason


def test_few_requests_show_nothing_however_fast_they_are() -> None:
    outcome = judged(open_loop(requests=128))
    assert outcome.outcome == "underpowered"
    assert outcome.requests_needed == 390
    assert "390 requests settle it" in outcome.reason


@pytest.mark.parametrize(("late", "expected"), [(4, "underpowered"), (40, "missed")])
def test_misses_are_shown_by_their_lower_bound(late: int, expected: str) -> None:
    outcome = judged(open_loop(requests=400, late=late))
    assert outcome.outcome == expected
    assert f"{late / 400:.2%} of 400 requests" in outcome.reason


def test_gaps_have_a_limit_as_well() -> None:
    result = open_loop()
    slow = open_loop_side("engine", 700.0, 400, slow_gaps=2)
    assert judged(result.model_copy(update={"engine": slow})).outcome == "missed"


def test_a_reference_that_was_shown_to_miss_it_is_told_from_one_that_was_not() -> None:
    assert judged(open_loop(reference_late=16)).reference == "missed"
    assert judged(open_loop(reference_late=1)).reference == "underpowered"


def test_vllm_misses_it_only_if_every_reference_was_shown_to() -> None:
    alone = timed(open_loop(reference_late=16))
    point = alone.at_operating_point
    renamed = point.reference.model_copy(update={"side": "vllm fp8"})
    rounds = tuple(
        one.model_copy(update={"side": "vllm fp8"}) if one.side == "vllm" else one for one in point.rounds
    )
    named = point.model_copy(update={"reference": renamed, "rounds": rounds})
    left_out = LeftOut(reference="vllm fp8", reason="the budget is too small")
    for unknown in ({"others": (named,)}, {"left_out": (left_out,)}):
        outcome = judge_slo(alone.model_copy(update=unknown), WITHIN, protocol().speed)
        assert outcome.reference == "underpowered"
        assert "vllm, at 12.5 requests per second, misses it: 25.00% of 64 requests" in outcome.reason
        assert outcome.reason.endswith(" vllm fp8 was not shown to miss it.")


def test_rounds_at_the_operating_point_show_a_miss_but_never_that_there_is_none() -> None:
    none = open_loop(requests=0)
    unknown = judged(none)
    assert (unknown.outcome, unknown.requests_needed) == ("underpowered", 390)
    assert "no request was sent: 390 requests take 2 min, and 3 s are left" in unknown.reason
    both = judged(none, Slo(ttft_p99_ms=5, itl_p99_ms=50))
    assert (both.outcome, both.reference) == ("missed", "missed")
    assert "the rounds at the operating point miss the objective" in both.reason
    assert judged(open_loop(), Slo(ttft_p99_ms=10, itl_p99_ms=50)).reference == "missed"


def test_a_client_that_was_late_itself_is_named() -> None:
    result = open_loop()
    assert "the client sent" not in judged(result).reason
    late = result.engine.stretches[0].model_copy(update={"sent_late_ms": 77.6})
    engine = result.engine.model_copy(update={"stretches": (late,)})
    reason = judged(result.model_copy(update={"engine": engine})).reason
    assert "(the client sent requests up to 78 ms late, which counts as waiting), and 1% may" in reason


def test_variants_and_attempts_share_the_error() -> None:
    enough = open_loop(requests=400)
    assert judged(enough).outcome == "met"
    assert judged(enough, variants=6).outcome == "underpowered"
    assert judged(enough, attempt=2).outcome == "underpowered"


@pytest.mark.parametrize("requests", [0, 400])
def test_all_shares_and_latencies_are_shown(requests: int) -> None:
    asked = protocol()
    result = timed(open_loop(requests=requests))
    whole = measured(asked.digest, [0.0] * 40, ratio=1.4)
    evidence = Evidence(asked, whole.accuracy, result)
    gate = SloGate()
    shown = gate.show(gate.judge(evidence), evidence)
    labels = [figure.label for figure in shown.figures]
    closed = ["SLO: TTFT p99, closed loop", "SLO: ITL p99, closed loop"]
    open_ones = [
        "SLO: late first tokens",
        "SLO: long gaps",
        "SLO: requests within it",
        "SLO: TTFT p99, open loop",
        "SLO: ITL p99, open loop",
        "SLO: goodput, open loop",
    ]
    assert labels == (open_ones + closed if requests else closed)
    assert {figure.label for figure in shown.figures if figure.decisive} == set(
        labels[: 2 if requests else 0]
    )
    assert all(("open loop" if requests else "closed loop") in tile.note for tile in shown.tiles)


@pytest.mark.parametrize(("requests", "late"), [(400, 0), (400, 3), (100, 0)])
def test_99th_percentiles_of_open_loop_are_shown_with_bounds_that_agree_with_the_outcome(
    requests: int, late: int
) -> None:
    asked = protocol()
    result = timed(open_loop(requests=requests, late=late))
    whole = measured(asked.digest, [0.0] * 40, ratio=1.4)
    evidence = Evidence(asked, whole.accuracy, result)
    gate = SloGate()
    outcome = gate.judge(evidence)
    (ttft,) = (one for one in gate.show(outcome, evidence).figures if one.label == "SLO: TTFT p99, open loop")
    assert ttft.use is not None
    assert ttft.use.lower <= ttft.use.estimate <= ttft.use.upper
    assert (ttft.use.upper <= 1) == (outcome.outcome == "met")
    assert (ttft.upper == "unknown") == (requests == 100)
