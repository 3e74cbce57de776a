"""Servers that cheat where they are timed, from measuring to the verdict; honest ones pass."""

from collections.abc import Sequence

import pytest
from support.judging.fake_completions import SHIFT, Behaviour, Speech, fake_server
from support.judging.judgements import SUBJECT, endpoint, resident, side, terms, workload
from support.judging.measured_fakes import ASKED, SPEECHES, TEXTS, ignore

from tasks.judging import SpeedResult
from tasks.judging.gates.rounds.timed_answers import TimedAnswersOutcome
from tasks.judging.judge import judge_engine, measure_engine
from tasks.judging.judgement import JudgedResult
from tasks.selftest.alterations import UNALTERED, Alteration, Events, Json, Pieces
from tasks.selftest.faults import PLANTED
from tasks.selftest.proxy import proxy_before

PER_TOKEN_S = 0.001
ALTERATIONS = {one.name: one.alteration for one in PLANTED}
LOAD = workload(output_tokens=8, concurrency=(2,), operating_point=2, prompts="text")


def judged(
    engine: Behaviour,
    reference: Behaviour | None = None,
    *,
    cheat: Alteration = UNALTERED,
    spared: int = ASKED.accuracy.streamed_texts,
    budget_minutes: float = ASKED.speed.gate.budget_minutes,
) -> JudgedResult:
    """Judge a server that cheats, if it does, after so many streams of text: those that are judged."""
    gate = ASKED.speed.gate.model_copy(update={"budget_minutes": budget_minutes})
    speed = ASKED.speed.model_copy(update={"gate": gate})
    own = {"engine": side("engine", engine.speaks), "workload": LOAD, "speed": speed}
    asked = ASKED.model_copy(update=own)
    with (
        fake_server(reference or Behaviour(stops_after=7, per_token_s=PER_TOKEN_S)) as vllm,
        fake_server(engine) as served,
        proxy_before(served.base_url) as proxy,
    ):
        proxy.plant(cheat, spared=spared)
        up = [endpoint("engine", proxy.base_url, engine.speaks), endpoint("vllm", vllm.base_url)]
        measured = measure_engine(resident(up), TEXTS, asked, say=ignore)
    return judge_engine(measured, asked, terms(), SUBJECT)


def timed(result: JudgedResult) -> TimedAnswersOutcome:
    outcome = result.outcomes.gates["timed answers"]
    assert isinstance(outcome, TimedAnswersOutcome)
    return outcome


@pytest.mark.parametrize("speaks", SPEECHES)
def test_an_honest_server_passes(speaks: Speech) -> None:
    result = judged(Behaviour(stops_after=7, per_token_s=PER_TOKEN_S, speaks=speaks))
    outcome = timed(result)
    assert outcome.outcome == "hold", outcome.reason
    assert (outcome.same_text, outcome.missing.estimate, outcome.regret_nats.estimate) == (1.0, 0.0, 0.0)
    assert result.verdict.verdict != "rejected"
    assert JudgedResult.model_validate_json(result.model_dump_json()) == result


def test_answers_in_open_loop_are_counted_as_those_of_rounds_are() -> None:
    slower = Behaviour(stops_after=7, per_token_s=8 * PER_TOKEN_S)
    engine = Behaviour(stops_after=7, per_token_s=PER_TOKEN_S)
    speed = judged(engine, slower, budget_minutes=2.0).measured.speed
    assert isinstance(speed, SpeedResult)
    in_open_loop = len(speed.open_loop.engine.requests)
    assert in_open_loop > 0, speed.open_loop.engine.stopped
    rounds = [one for point in speed.points for one in point.rounds if one.side == "engine"]
    assert len(speed.timed.engine.claimed) == sum(len(one.requests) for one in rounds) + in_open_loop
    read, tokens = speed.timed.engine.read[-in_open_loop:], LOAD.output_tokens
    assert max(read) <= tokens
    assert sum(read) > 0.8 * tokens * in_open_loop, "some tokens of the stand-in have no text"


@pytest.mark.parametrize(
    ("cheat", "row"),
    [
        ("stops-early", "timed-answers-miscounted"),
        ("counts-twice", "timed-answers-miscounted"),
        ("empty-when-timed", "timed-answers-miscounted"),
        ("one-chunk", "timed-answers-not-streamed"),
        ("garbage-when-timed", "timed-answers-wrong"),
        ("garbage-once-judged", "timed-answers-wrong"),
    ],
)
def test_a_server_that_cheats_once_it_was_judged_is_rejected(cheat: str, row: str) -> None:
    result = judged(Behaviour(stops_after=7, per_token_s=PER_TOKEN_S), cheat=ALTERATIONS[cheat])
    assert (result.verdict.verdict, result.verdict.row) == ("rejected", row)
    assert result.verdict.reasons[0] == timed(result).reason


class HalfUnreadable(Alteration):
    """Every second token of a timed answer is part of a character that stays incomplete."""

    async def stream(self, request: Json, events: Events) -> Pieces:
        index = 0
        async for event in events:
            for choice in event["choices"]:
                choice["text"] = "x\ufffd"[index % 2]
                index += 1
            yield [event]


@pytest.mark.parametrize(
    ("cheat", "in_full"), [(ALTERATIONS["garbage-when-timed"], True), (HalfUnreadable(), False)]
)
def test_an_answer_of_which_characters_are_left_out_was_not_read_in_full(
    cheat: Alteration, in_full: bool
) -> None:
    speed = judged(Behaviour(stops_after=7, per_token_s=PER_TOKEN_S), cheat=cheat).measured.speed
    assert isinstance(speed, SpeedResult)
    assert {one.same_text for one in speed.timed.samples} == {False}
    assert {one.read_in_full for one in speed.timed.samples} == {in_full}


@pytest.mark.parametrize("cheat", ["stops-early", "empty-when-timed", "garbage-when-timed"])
def test_a_server_that_cheats_in_every_stream_is_rejected_before_it_is_timed(cheat: str) -> None:
    result = judged(Behaviour(), cheat=ALTERATIONS[cheat], spared=0)
    assert (result.verdict.verdict, result.verdict.row) == ("rejected", "tokenizer-differs")
    assert "timed answers" not in result.outcomes.gates


def letter(context: Sequence[int]) -> int:
    """A token that depends on all before it, and is a letter, so that any text can be read back."""
    return SHIFT + ord("a") + (sum(context) * 31 + len(context)) % 26


class NowAndThen:
    """Chooses another letter each time after so many: as if rounding depended on what else is in a batch."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._calls = 0

    def __call__(self, context: Sequence[int]) -> int:
        self._calls += 1
        token = letter(context)
        return token if self._calls % self._after else SHIFT + ord("z")


def test_words_that_the_reference_finds_as_likely_are_no_cheat() -> None:
    """Once the texts part, the rest is read by the reference's tokenizer, and scored."""
    reference = Behaviour(
        next_token=letter, stops_after=7, regret_of=lambda _token: 0.01, per_token_s=PER_TOKEN_S
    )
    outcome = timed(
        judged(Behaviour(next_token=NowAndThen(37), stops_after=7, per_token_s=PER_TOKEN_S), reference)
    )
    assert outcome.outcome == "hold", outcome.reason
    assert 0 < outcome.same_text < 1
    assert outcome.missing.estimate == 0
    assert 0 < outcome.regret_nats.estimate < 0.01
