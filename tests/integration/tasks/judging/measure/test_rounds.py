"""Timed rounds over HTTP against stand-ins, and a whole measurement up to its verdict."""

import math
import re
from collections.abc import Sequence
from statistics import fmean

import pytest
from support.judging.fake_completions import BEGIN, Behaviour, FakeServer, Speech, fake_server
from support.judging.judgements import (
    PRICES,
    SUBJECT,
    VOCABULARY_OF_FAKES,
    endpoint,
    protocol,
    resident,
    side,
    terms,
    workload,
)
from support.judging.measured_fakes import ASKED, SPEECHES, TEXTS, ignore, wrong_now_and_then

from tasks.errors import ServerBroke
from tasks.judging import LoadResult, NotMeasured, RoundPlan, SpeedResult
from tasks.judging.decide.table import row_for
from tasks.judging.gates.rounds.speed import judge_speed
from tasks.judging.judge import baseline_load, judge_engine, measure_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.measure import measure_speed
from tasks.judging.measure.baseline_load import LoadPlan
from tasks.judging.measure.contest import order_of
from tasks.judging.statistics import attempt_confidence, point_ratio, requests_of_look


def speed_of(
    engine: FakeServer, references: Sequence[FakeServer], lines: list[str] | None = None
) -> SpeedResult:
    names = ["vllm", "vllm fp8"][: len(references)]
    asked = endpoint("engine", engine.base_url, engine.behaviour.speaks)
    others = [endpoint(name, one.base_url) for name, one in zip(names, references, strict=True)]
    return measure_speed(
        resident([asked, *others]),
        asked.side,
        [other.side for other in others],
        protocol(references=names, resolution=500.0, budget_minutes=0.001),
        text=None,
        say=ignore if lines is None else lines.append,
    )


def test_rounds_alternate_and_every_prompt_is_asked_once(reference: FakeServer) -> None:
    with fake_server(Behaviour()) as engine:
        result = speed_of(engine, [reference])
    for point in result.points:
        sides = [one.side for one in point.rounds]
        orders = [order_of(ASKED.seed, cycle, 2) for cycle in range(len(sides) // 2)]
        assert sides == [("engine", "vllm")[place] for order in orders for place in order]
        assert [one.index for one in point.rounds] == list(range(len(sides)))
        assert all(len(one.requests) == 2 * point.concurrency for one in point.rounds)
        assert len(point.rounds) >= 2 * ASKED.speed.first_pairs
    prompts = [tuple(one["prompt"]) for one in [*engine.timed_requests, *reference.timed_requests]]
    assert len(set(prompts)) == len(prompts)
    assert all(len(prompt) == 8 for prompt in prompts)
    digests = [one.prompts_sha256 for point in result.points for one in point.rounds]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("speaks", SPEECHES)
def test_both_sides_of_a_timed_round_do_the_same_work(reference: FakeServer, speaks: Speech) -> None:
    with fake_server(Behaviour(speaks=speaks)) as engine:
        result = speed_of(engine, [reference])
    assert {record.output_tokens for p in result.points for one in p.rounds for record in one.requests} == {6}
    alike = [one | {"prompt": None} for one in [*engine.timed_requests, *reference.timed_requests]]
    assert all(one == alike[0] for one in alike)
    assert not {"return_token_ids", "detokenize"} & set(alike[0])


def test_warm_up_is_asked_and_not_counted(reference: FakeServer) -> None:
    with fake_server(Behaviour()) as engine:
        result = speed_of(engine, [reference])
    counted = sum(len(one.requests) for p in result.points for one in p.rounds if one.side == "engine")
    rounds = sum(one.side == "engine" for p in result.points for one in p.rounds)
    warm_up = sum(2 * point.concurrency for point in result.points)
    assert len(engine.timed_requests) == counted + rounds + warm_up


def test_some_timed_requests_are_asked_again_for_ids_and_scored(reference: FakeServer) -> None:
    with fake_server(Behaviour()) as engine:
        result = speed_of(engine, [reference])
    timed = [tuple(one["prompt"]) for one in engine.timed_requests]
    again = [tuple(one["prompt"]) for one in engine.requests if one not in engine.timed_requests]
    assert set(again) < set(timed)
    rounds = {p.concurrency: [one for one in p.rounds if one.side == "engine"] for p in result.points}
    drawn = min(32, 4 * len(rounds[2])) + min(8, 2 * len(rounds[1]))
    assert len(set(again)) == len(again) == len(result.timed.samples) == drawn
    scored = [tuple(one["prompt"]) for one in reference.requests if "prompt_logprobs" in one]
    assert {prompt[:8] for prompt in scored} == set(again)
    assert {len(prompt) for prompt in scored} == {8 + 5}
    answers = sum(len(one.requests) for made in rounds.values() for one in made)
    assert len(result.timed.engine.claimed) == answers


def test_planted_latency_is_measured_in_its_direction() -> None:
    slow, quick = Behaviour(first_token_s=0.02, per_token_s=0.02), Behaviour()
    with fake_server(slow) as reference, fake_server(quick) as engine:
        point = speed_of(engine, [reference]).at_operating_point
    assert point.engine.output_tokens == sum(len(one.requests) for one in point.rounds) // 2 * 6
    # What the server waited is a floor under what the client can have seen, however busy the host is.
    assert point.reference.ttft_ms.p50 >= 19
    assert point.reference.e2e_ms.p50 >= 115
    assert all(one.wall_s >= 2 * 0.115 for one in point.rounds if one.side == "vllm")
    ratios = point_ratio(point, ASKED.speed).log_ratios
    assert judge_speed(point, ASKED.speed).ratio.estimate <= math.exp(fmean(ratios)) * (1 + 1e-9)


def test_the_fastest_reference_is_the_one_to_beat() -> None:
    slow, quick = Behaviour(per_token_s=0.02), Behaviour()
    with fake_server(slow) as one, fake_server(quick) as other, fake_server(Behaviour()) as engine:
        result = speed_of(engine, [one, other])
    assert result.reference == "vllm fp8"
    assert [point.reference.side for point in result.deciding] == ["vllm fp8", "vllm"]
    assert {point.reference.side for point in result.points} == {"vllm fp8"}
    for point in result.deciding:
        sides = [made.side for made in point.rounds]
        assert sides.count("engine") == sides.count(point.reference.side) == len(sides) / 2
    prompts = [tuple(asked["prompt"]) for made in (one, other, engine) for asked in made.timed_requests]
    assert len(set(prompts)) == len(prompts)


def test_one_server_under_two_names_is_never_asked_the_same_prompt_twice(reference: FakeServer) -> None:
    speed_of(reference, [reference])
    prompts = [tuple(one["prompt"]) for one in reference.timed_requests]
    assert len(set(prompts)) == len(prompts)


def test_progress_gives_the_interval_and_why_no_more_rounds_were_made(reference: FakeServer) -> None:
    lines: list[str] = []
    with fake_server(Behaviour()) as engine:
        speed_of(engine, [reference], lines)
    (decisive,) = [line for line in lines if line.startswith("2 in flight: engine / vllm = ")]
    assert re.search(
        r"= [\d.]+ \[[\d.]+, [\d.]+\] after \d+ pairs of rounds "
        r"\((the budget|the rest of|the ratio is clear|\d+ pairs find)",
        decisive,
    )


def test_a_server_that_dies_while_it_is_measured_is_an_error_and_no_result(reference: FakeServer) -> None:
    with (
        fake_server(Behaviour(fault="break")) as engine,
        pytest.raises(ServerBroke, match="connection failed"),
    ):
        speed_of(engine, [reference])


def test_a_round_that_took_no_time_is_an_error_and_no_infinite_speed(
    reference: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.judging.measure.completions.client.perf_counter_ns", lambda: 7)
    with pytest.raises(ServerBroke, match="took 0 s by this host's clock"):
        speed_of(reference, [reference])


def test_a_baseline_measures_every_concurrency(reference: FakeServer) -> None:
    load = workload(input_tokens=24, prompts="text")
    plan = LoadPlan(
        workload=load,
        vocabulary=VOCABULARY_OF_FAKES,
        speed=ASKED.speed,
        rounds=RoundPlan(requests_per_slot=2, min_requests=1),
        rounds_per_point=2,
    )
    lines: list[str] = []
    up = endpoint("vllm", reference.base_url)
    result = baseline_load(resident([up]), up.side, TEXTS, plan, say=lines.append)
    assert [point.summary.concurrency for point in result.points] == [1, 2]
    assert [point.summary.requests for point in result.points] == [4, 8]
    assert result.at_operating_point.summary.good_share == 1.0
    summary = result.at_operating_point.summary.throughput_per_device
    assert summary.lower <= summary.estimate <= summary.upper
    assert len(lines) == 2
    asked = [one["prompt"] for one in reference.timed_requests]
    assert all(prompt[0] == BEGIN for prompt in asked)
    assert all(reference.decode(prompt[5:]) in "".join(TEXTS) + TEXTS[0] for prompt in asked)


@pytest.mark.parametrize("suffices", [True, False])
def test_a_baseline_is_asked_in_open_loop_if_that_decides(reference: FakeServer, suffices: bool) -> None:
    asked = workload(input_tokens=24, output_tokens=2, concurrency=(1,), operating_point=1)
    quick = RoundPlan(requests_per_slot=2, min_requests=1)
    plan = LoadPlan(
        workload=asked,
        vocabulary=VOCABULARY_OF_FAKES,
        speed=protocol(budget_minutes=3).speed,
        rounds=quick,
        rounds_per_point=2,
    )
    up, seen = endpoint("vllm", reference.base_url), list[LoadResult]()

    def decides(load: LoadResult) -> bool:
        seen.append(load)
        return suffices

    found = baseline_load(resident([up]), up.side, TEXTS, plan, suffices=decides, say=ignore)
    assert [one.open_loop for one in seen] == [None]
    assert (found.open_loop is not None) == suffices
    if found.open_loop is not None:
        assert found.open_loop.ended == "settled"
        enough = requests_of_look(attempt_confidence(plan.speed.confidence, 1), 1)
        assert len(found.open_loop.requests) >= enough
        assert found.open_loop.load.endswith("with 1 in flight")
        assert found.points == seen[0].points
    prompts = [tuple(one["prompt"]) for one in reference.timed_requests]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(
    ("behaviour", "failed"),
    [
        (Behaviour(next_token=wrong_now_and_then), "regret"),
        (Behaviour(stops_after=3), "length"),
        (Behaviour(begins_text=False), "tokenizer"),
    ],
)
def test_an_engine_that_its_answers_reject_is_not_timed(behaviour: Behaviour, failed: str) -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"))})
    wrong_costs = Behaviour(regret_of=lambda _token: 1.5)
    with fake_server(wrong_costs) as reference, fake_server(behaviour) as engine:
        up = [endpoint("engine", engine.base_url), endpoint("vllm", reference.base_url)]
        measured = measure_engine(resident(up), TEXTS, asked, say=ignore)
    assert isinstance(measured.speed, NotMeasured)
    assert failed in measured.speed.reason
    assert measured.references == ()
    streams = [one for one in engine.requests if one.get("stream")]
    continued = {tuple(one["prompt"]) for one in streams if "return_token_ids" in one}
    assert {tuple(one["prompt"]) for one in streams} == continued, "prompts of timed rounds are random"
    result = judge_engine(
        measured, asked, terms(PRICES, compile_mode="when-justified", build_device_hours=0.1), SUBJECT
    )
    assert result.verdict.verdict == "rejected"


@pytest.mark.parametrize("speaks", SPEECHES)
def test_an_engine_is_measured_and_judged_from_end_to_end(speaks: Speech) -> None:
    asked = ASKED.model_copy(update={"engine": side("engine", speaks)})
    with (
        fake_server(Behaviour(per_token_s=0.01, stops_after=7)) as reference,
        fake_server(Behaviour(speaks=speaks, stops_after=7)) as engine,
    ):
        up = [endpoint("engine", engine.base_url, speaks), endpoint("vllm", reference.base_url)]
        measured = measure_engine(resident(up), TEXTS, asked, say=ignore)
    result = judge_engine(
        measured, asked, terms(PRICES, compile_mode="when-justified", build_device_hours=0.1), SUBJECT
    )
    outcomes = result.outcomes.conditions()
    assert {outcomes[gate] for gate in ("regret", "length")} == {"pass"}
    assert outcomes["tokenizer"] == "same"
    assert result.verdict.row == row_for(outcomes).id
    assert JudgedResult.model_validate_json(result.model_dump_json()) == result
