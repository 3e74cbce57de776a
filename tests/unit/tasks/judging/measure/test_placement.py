"""No measurement needs two sides up at once: every phase brings up one side, and keeps what it answers."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from support.judging.accuracy import measure_accuracy
from support.judging.fake_completions import Behaviour, FakeServer, fake_server
from support.judging.judgements import SUBJECT, endpoint, protocol, side, terms
from support.judging.measured_fakes import ASKED, SPEECHES, TEXTS, ignore, wrong_now_and_then

from tasks.judging import (
    AccuracyResult,
    Endpoint,
    JudgingProtocol,
    Measured,
    NotMeasured,
    Side,
    SpeedResult,
    Together,
)
from tasks.judging.judge import judge_engine, measure_engine
from tasks.judging.measure import measure_speed
from tasks.judging.measure.accuracy import AccuracyPhases
from tasks.judging.measure.accuracy.answers import Answers
from tasks.judging.measure.accuracy.questions import Questions
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.placement import Turn


class OneAtATime:
    """Starts a side when it is asked for, and ends it before another one may be."""

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        self._behaviours = behaviours
        self.up: list[str] = []
        self.starts: list[str] = []
        self.servers: list[FakeServer] = []

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[list[Endpoint]]:
        (one,) = sides
        assert self.up == [], f"{one.name} was asked for while {self.up} was up"
        self.up.append(one.name)
        self.starts.append(one.name)
        with fake_server(self._behaviours[one.name]) as server:
            self.servers.append(server)
            yield [Endpoint(base_url=server.base_url, side=one, start=len(self.starts))]
        self.up.remove(one.name)

    def blocks(self, turns: Sequence[Turn]) -> list[list[Turn]]:
        """All rounds of one side, then all of the other."""
        names = dict.fromkeys(turn.side.name for turn in turns)
        return [[turn for turn in turns if turn.side.name == name] for name in names]


@pytest.fixture(params=SPEECHES)
def behaviours(request: pytest.FixtureRequest) -> dict[str, Behaviour]:
    """An engine that is wrong now and then, of each kind of server, and its reference."""
    return {
        "engine": Behaviour(next_token=wrong_now_and_then, speaks=request.param),
        "vllm": Behaviour(regret_of=lambda _token: 1.5),
    }


def asked_of(behaviours: Mapping[str, Behaviour]) -> JudgingProtocol:
    return ASKED.model_copy(update={"engine": side("engine", behaviours["engine"].speaks)})


def test_accuracy_is_the_same_whether_sides_are_up_in_turn_or_together(
    behaviours: dict[str, Behaviour],
) -> None:
    asked, in_turn = asked_of(behaviours), OneAtATime(behaviours)
    apart = measure_accuracy(in_turn, asked.engine, TEXTS, asked, say=ignore)
    assert in_turn.starts == ["vllm", "engine", "vllm"]
    with fake_server(behaviours["engine"]) as engine, fake_server(behaviours["vllm"]) as reference:
        both = [
            Endpoint(base_url=engine.base_url, side=asked.engine),
            endpoint("vllm", reference.base_url),
        ]
        assert measure_accuracy(Together(both), asked.engine, TEXTS, asked, say=ignore) == apart
    assert sum(len(sample.departures) for sample in apart.samples) > 40


def test_what_a_phase_leaves_for_the_next_is_data(behaviours: dict[str, Behaviour]) -> None:
    asked, placement = asked_of(behaviours), OneAtATime(behaviours)
    phases = AccuracyPhases(placement, asked, say=ignore)
    questions = Questions.model_validate_json(phases.questions(TEXTS).model_dump_json())
    answers = Answers.model_validate_json(phases.answers(asked.engine, questions).model_dump_json())
    (result,) = phases.scores(questions, [answers])
    assert AccuracyResult.model_validate_json(result.model_dump_json()) == result
    assert len(result.samples) == len(result.lengths) == 40
    assert placement.starts == ["vllm", "engine", "vllm"]


def test_answers_of_several_sides_are_scored_while_the_reference_is_up_once() -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"), side("vllm int8"))})
    placement = OneAtATime({name: Behaviour() for name in ("vllm", "vllm fp8", "vllm int8")})
    phases = AccuracyPhases(placement, asked, say=ignore)
    questions = phases.questions(TEXTS)
    kept = [phases.answers(one, questions) for one in asked.references[1:]]
    assert [one.side for one in phases.scores(questions, kept)] == ["vllm fp8", "vllm int8"]
    assert placement.starts == ["vllm", "vllm fp8", "vllm int8", "vllm"]


def speed_in_turn(placement: OneAtATime, asked: JudgingProtocol) -> SpeedResult:
    return measure_speed(placement, asked.engine, asked.references, asked, say=ignore)


def test_rounds_of_sides_that_are_up_in_turn_are_reported_in_the_order_of_their_pairs() -> None:
    asked = protocol(resolution=5.0, budget_minutes=1e-6, first_stage_pairs=4)
    placement = OneAtATime({"engine": Behaviour(), "vllm": Behaviour()})
    result = speed_in_turn(placement, asked)
    for point in result.points:
        assert [one.index for one in point.rounds] == list(range(2 * point.first_stage_pairs))
        assert [one.side for one in point.rounds[:4]] == ["vllm", "engine", "engine", "vllm"]
        assert point.log_ratios("goodput_per_device")[0] == "goodput_per_device"
        started = {
            name: [one.started_s for one in point.rounds if one.side == name] for name in ("vllm", "engine")
        }
        assert max(started["vllm"]) < min(started["engine"]), "one block per side"
    assert placement.starts == ["vllm", *["vllm", "engine"] * len(result.points)]


def test_each_start_is_warmed_up_before_its_rounds_count() -> None:
    asked = protocol(resolution=5.0, budget_minutes=1e-6, first_stage_pairs=4)
    placement = OneAtATime({"engine": Behaviour(), "vllm": Behaviour()})
    result = speed_in_turn(placement, asked)
    decisive, further = (
        (point.concurrency, point.first_stage_pairs)
        for point in (result.at_operating_point, next(p for p in result.points if p.concurrency == 1))
    )
    blocks = [(2, asked.speed.qualifying_rounds), decisive, decisive, further, further]
    for server, (concurrency, rounds) in zip(placement.servers, blocks, strict=True):
        of_a_round = asked.rounds.requests(concurrency)
        discarded = asked.rounds.warmup_requests
        assert len(server.requests) == of_a_round + rounds * (of_a_round + discarded)


def test_a_server_that_stays_up_is_warmed_up_once() -> None:
    asked = protocol()
    runner = RoundRunner(asked.workload, asked.vocabulary, asked.rounds, asked.seed)

    async def warm_up(one: Endpoint) -> None:
        async with runner.client(one) as client:
            await runner.warm_up(client, 2, "engine")

    with fake_server(Behaviour()) as server:
        up = endpoint("engine", server.base_url)
        asyncio.run(warm_up(up))
        once = len(server.requests)
        asyncio.run(warm_up(up))
        assert len(server.requests) == once > 0
        asyncio.run(warm_up(up.model_copy(update={"start": 2})))
        assert len(server.requests) == 2 * once


def test_one_block_is_all_where_sides_stay_up() -> None:
    turns = [Turn(side(name), index) for index, name in enumerate(("vllm", "engine", "engine", "vllm"))]
    assert list(Together([]).blocks(turns)) == [turns]


def measured_in_turn(behaviours: Mapping[str, Behaviour], asked: JudgingProtocol) -> Measured:
    return measure_engine(OneAtATime(behaviours), TEXTS, asked, say=ignore)


def test_a_whole_judgement_needs_one_side_at_a_time() -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"))})
    made = measured_in_turn({name: Behaviour() for name in ("engine", "vllm", "vllm fp8")}, asked)
    assert not isinstance(made.speed, NotMeasured)
    assert [one.reference for one in made.speed.qualifying] == ["vllm", "vllm fp8"]
    result = judge_engine(made, asked, terms(), SUBJECT)
    assert {result.outcomes.gates[name].outcome for name in ("regret", "length")} == {"pass"}


def test_a_reference_that_is_not_accurate_enough_is_not_brought_up_to_be_timed() -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"))})
    behaviours = {
        "engine": Behaviour(),
        "vllm": Behaviour(regret_of=lambda _token: 1.5),
        "vllm fp8": Behaviour(next_token=wrong_now_and_then),
    }
    placement = OneAtATime(behaviours)
    made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert judge_engine(made, asked, terms(), SUBJECT).disqualified == ("vllm fp8",)
    assert placement.starts.count("vllm fp8") == 1
