"""Open loop over HTTP: a queue that a closed loop hides, latency from the arrival, and when to stop."""

import asyncio
import itertools
import re
from collections.abc import Sequence
from typing import Any

import pytest
from support.judging.fake_completions import Behaviour, fake_server
from support.judging.judgements import endpoint, protocol, resident, workload
from support.judging.measured_fakes import ignore

from engine_specs.spec import Arrivals, Slo
from tasks.judging import JudgingProtocol, Observer, SpeedResult
from tasks.judging.gates.rounds.slo import judge_slo
from tasks.judging.gates.rounds.speed import judge_speed
from tasks.judging.measure import Budget, measure_speed
from tasks.judging.measure.open_loop import OpenLoopAsked, Rate, ask_in_open_loop
from tasks.judging.measure.open_loop.arrivals import arrival_times
from tasks.judging.measure.open_loop.stretches import MeasuredStretch, make_stretch
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.placement import Unobserved
from tasks.judging.statistics import Role

# Less confidence needs fewer requests: 183 without a miss.
UNSURE = {"confidence": 0.6}
LENIENT = Slo(ttft_p99_ms=60_000, itl_p99_ms=60_000)


def asked(slo: Slo = LENIENT, **changes: Any) -> JudgingProtocol:
    made = protocol(
        load=workload(concurrency=(1, 2), operating_point=1, slo=slo, **changes),
        resolution=500.0,
        budget_minutes=10.0,
    )
    gate = made.speed.gate.model_copy(update=UNSURE)
    return made.model_copy(update={"speed": made.speed.model_copy(update={"gate": gate})})


def runner_of(one: JudgingProtocol, observer: Observer | None = None) -> RoundRunner:
    return RoundRunner(one.workload, one.vocabulary, None, one.rounds, one.seed, observer or Unobserved())


def ask(
    behaviour: Behaviour, role: Role, per_s: float, one: JudgingProtocol, minutes: float
) -> OpenLoopAsked:
    with fake_server(behaviour) as server:
        up = endpoint("side", server.base_url)
        return ask_in_open_loop(
            resident([up]),
            up.side,
            role,
            Rate(per_s, "as the test says"),
            runner_of(one),
            one,
            Budget(minutes),
            attempt=1,
            say=ignore,
        )


def test_a_queue_that_a_closed_loop_hides_is_found() -> None:
    """One request at a time: nobody waits as long as the client asks one by one."""
    queues = Behaviour(first_token_s=0.002, per_token_s=0.002, slots=1)
    one = asked(Slo(ttft_p99_ms=60, itl_p99_ms=60_000), arrivals=Arrivals(share_of_capacity=0.95))
    waits = Behaviour(first_token_s=0.002, per_token_s=0.002)
    with fake_server(queues) as engine, fake_server(waits) as reference:
        up = [endpoint("engine", engine.base_url), endpoint("vllm", reference.base_url)]
        made = measure_speed(resident(up), up[0].side, [up[1].side], one, text=None, say=ignore)
    assert isinstance(made, SpeedResult)
    assert made.at_operating_point.engine.ttft_ms.p50 < 60
    queued = made.open_loop.engine
    assert queued.summary is not None
    assert queued.summary.most_in_flight > 4
    assert queued.summary.ttft_ms.p99 > 60
    for found in (queued.summary.ttft_ms, queued.summary.itl_ms):
        assert found.p99_bounds.lower < found.p99
        assert found.bounds[0].upper is not None
        assert found.bounds[0].lower <= found.p50 <= found.bounds[0].upper
    assert queued.ended == "settled"
    assert len(made.open_loop.reference.requests) >= 64
    assert judge_slo(made, one.workload.slo, one.speed).outcome == "missed"
    answers = len(queued.requests) + sum(
        len(r.requests) for p in made.points for r in p.rounds if r.side == "engine"
    )
    assert len(made.timed.engine.claimed) == answers, "what arrived is read as well"
    assert SpeedResult.model_validate_json(made.model_dump_json()) == made


# So far apart that a busy processor hides nothing.
SLOW, FAST = Behaviour(per_token_s=0.012), Behaviour(per_token_s=0.0005)
STRICT = Slo(ttft_p99_ms=0.001, itl_p99_ms=60_000)


@pytest.mark.parametrize(
    ("engine", "slo", "is_asked", "row"),
    [
        (SLOW, LENIENT, False, "not-faster"),
        (SLOW, STRICT, True, "slo-missed-by-both"),
        (FAST, LENIENT, True, ""),
    ],
    ids=["slower", "slower, and vLLM misses", "faster"],
)
def test_an_engine_that_is_not_faster_is_asked_only_if_vllm_misses_the_objective(
    engine: Behaviour, slo: Slo, is_asked: bool, row: str
) -> None:
    one, lines = asked(slo), list[str]()
    with fake_server(engine) as mine, fake_server(FAST if engine is SLOW else SLOW) as theirs:
        up = [endpoint("engine", mine.base_url), endpoint("vllm", theirs.base_url)]
        made = measure_speed(resident(up), up[0].side, [up[1].side], one, text=None, say=lines.append)
    assert isinstance(made, SpeedResult)
    asked_engine, asked_reference = made.open_loop.engine, made.open_loop.reference
    assert asked_reference.requests
    assert bool(asked_engine.requests) is is_asked
    assert (asked_engine.ended, asked_engine.looks) == (("settled", 1) if is_asked else ("enough", 0))
    said = "engine is not fast enough, and vllm was not shown to miss the objective: it would change nothing"
    assert any(said in line for line in lines) is not is_asked
    assert any(said in line for line in made.omitted) is not is_asked
    gates = (judge_slo(made, slo, one.speed), judge_speed(made.at_operating_point, one.speed))
    if row == "not-faster":
        assert [gate.outcome for gate in gates] == ["underpowered", "not-faster"]
        assert said in gates[0].reason
    elif row:
        assert (gates[0].outcome, gates[0].reference) == ("missed", "missed")
    assert SpeedResult.model_validate_json(made.model_dump_json()) == made


def test_latency_counts_from_the_intended_arrival_and_nobody_waits_to_be_sent() -> None:
    one, service_s, count, per_s = asked(), 0.02, 12, 400.0
    with fake_server(Behaviour(first_token_s=service_s, slots=1)) as server:
        up = endpoint("side", server.base_url)

        async def make() -> MeasuredStretch:
            runner = runner_of(one)
            async with runner.unlimited_client(up) as client:
                return await make_stretch(runner, client, "engine", 0, count=count, per_s=per_s)

        stretch = asyncio.run(make())
    assert server.most_streaming > max(one.workload.concurrency)
    made = stretch.result
    (cut, *due) = arrival_times(one.seed, 0, count + one.rounds.warmup_requests, per_s)
    # Counted from the intended arrivals, the k-th first token of all comes after k services at the earliest,
    # however late requests were sent, and in whatever order they reached the server.
    pairs = zip(made.requests, due, strict=True)
    first_tokens_s = sorted(due_s - cut + record.ttft_ms / 1000 for record, due_s in pairs)
    for place, first_s in enumerate(first_tokens_s):
        assert first_s >= (place + 2) * service_s - cut - 0.002
    assert made.most_in_flight > 4
    assert made.sent_late_ms >= 0
    assert len(stretch.texts) == len(made.requests) == count


@pytest.mark.parametrize(("role", "requests"), [("engine", 183), ("reference", 64)])
def test_as_many_requests_as_settle_it_without_a_miss_and_fewer_of_the_reference(
    role: Role, requests: int
) -> None:
    made = ask(Behaviour(), role, 600.0, asked(), 10.0).result
    assert len(made.requests) in (requests, requests + 1)
    assert made.looks == 1
    assert made.ended == ("settled" if role == "engine" else "enough")
    assert made.arrivals_per_s == 600.0


def test_a_reference_in_doubt_is_asked_further_and_prompts_differ() -> None:
    slow = asked(Slo(ttft_p99_ms=1, itl_p99_ms=60_000))
    made = ask(Behaviour(first_token_s=0.002), "reference", 600.0, slow, 10.0).result
    assert made.ended == "settled", "it is shown at once that all of them are late"
    digests = [one.prompts_sha256 for one in made.stretches]
    assert len(set(digests)) == len(digests)


def test_what_is_not_settled_is_said_before_more_is_asked() -> None:
    asked_for, lines = itertools.count(), list[str]()

    def delay_s(prompt: Sequence[int]) -> float:
        del prompt
        return 1.6 if next(asked_for) in (100, 150) else 0.0

    limited = asked(Slo(ttft_p99_ms=1500, itl_p99_ms=60_000))
    with fake_server(Behaviour(delay_s=delay_s)) as server:
        up = endpoint("side", server.base_url)
        made = ask_in_open_loop(
            resident([up]),
            up.side,
            "engine",
            Rate(80.0, "as the test says"),
            runner_of(limited),
            limited,
            Budget(0.15),
            attempt=1,
            say=lines.append,
        ).result
    assert made.looks > 1
    assert re.match(
        r"open loop, side: not settled by 18\d requests: \d\.\d\d% of first tokens came", lines[0]
    )
    assert lines[0].endswith("more requests take 3 s")


def test_what_the_budget_does_not_allow_is_not_begun_and_named() -> None:
    with fake_server(Behaviour()) as server:
        up = endpoint("side", server.base_url)
        lines: list[str] = []
        made = ask_in_open_loop(
            resident([up]),
            up.side,
            "engine",
            Rate(2.0, "as the test says"),
            runner_of(asked()),
            asked(),
            Budget(1.0),
            attempt=1,
            say=lines.append,
        ).result
        assert server.requests == []
    assert (made.ended, made.looks, made.stretches, made.summary) == ("budget", 0, (), None)
    assert made.stopped == "183 requests take 92 s at this rate, and 59 s are left of the budget of 1 min"
    assert lines == [
        "open loop, side: 2 requests per second (as the test says): none was sent: " + made.stopped
    ]
