"""The gate on timed answers: it rejects what is shown to be wrong, and nothing else."""

import pytest
from support.judging.judgements import SUBJECT, measured, protocol, terms, timed_answers

from tasks.judging import Measured, SpeedResult
from tasks.judging.gates.rounds.timed_answers import TimedAnswersOutcome, judge_timed_answers
from tasks.judging.judge import judge_engine
from tasks.judging.results import Departure

ASKED = protocol(samples=400, margin=0.02, first_pairs=6)


def made(*, largest_chunk: int = 1, **planted: float) -> Measured:
    whole = measured(ASKED.digest, [0.0] * 400, ratio=1.4)
    speed = whole.speed
    assert isinstance(speed, SpeedResult)
    points = tuple(
        point.model_copy(
            update={
                "rounds": tuple(
                    one.model_copy(
                        update={
                            "requests": tuple(
                                record.model_copy(update={"largest_chunk": largest_chunk})
                                for record in one.requests
                            )
                        }
                    )
                    for one in point.rounds
                )
            }
        )
        for point in speed.points
    )
    timed = timed_answers(**planted)  # type: ignore[arg-type]
    return whole.model_copy(update={"speed": speed.model_copy(update={"points": points, "timed": timed})})


def judged(**planted: float) -> TimedAnswersOutcome:
    speed = made(**planted).speed
    assert isinstance(speed, SpeedResult)
    return judge_timed_answers(speed, ASKED)


@pytest.mark.parametrize(
    ("planted", "outcome"),
    [
        ({}, "hold"),
        ({"missing": 1}, "hold"),
        ({"missing": 3}, "miscounted"),
        ({"missing": 28}, "miscounted"),
        ({"read_of_32": 29}, "hold"),
        ({"read_of_32": 15}, "miscounted"),
        ({"read_of_32": 0}, "miscounted"),
        ({"largest_chunk": 16}, "hold"),
        ({"largest_chunk": 17}, "not-streamed"),
        ({"regret": 0.02}, "hold"),
        ({"regret": 0.04}, "wrong"),
        ({"regret": 0.2, "samples": 3}, "wrong"),
        ({"regret": 9.0}, "wrong"),
    ],
)
def test_what_is_shown_to_be_wrong_is_named(planted: dict[str, float], outcome: str) -> None:
    assert judged(**planted).outcome == outcome


@pytest.mark.parametrize(
    ("regrets", "same", "in_full", "outcome"),
    [
        ([7.0, 7.0], True, True, "wrong"),
        ([2.5] * 8, True, True, "wrong"),
        ([2.5] * 8, False, True, "wrong"),
        ([7.0], True, True, "hold"),
        ([2.5] * 7, True, True, "hold"),
        # It was read by the reference: these two may be next to a special token, which has no text.
        ([7.0, 7.0], False, True, "hold"),
        ([2.5] * 8, False, False, "hold"),
    ],
)
def test_one_garbled_answer_of_those_that_were_asked_again_is_enough(
    regrets: list[float], same: bool, in_full: bool, outcome: str
) -> None:
    """Of 32 answers, one that is garbage is too rare to be beyond the margin by a bound."""
    speed = made().speed
    assert isinstance(speed, SpeedResult)
    departures = tuple(
        Departure(index=index, engine_token=7, reference_token=0, regret_nats=nats)
        for index, nats in enumerate(regrets)
    )
    first, *others = speed.timed.samples
    bad = first.model_copy(update={"departures": departures, "same_text": same, "read_in_full": in_full})
    timed = speed.timed.model_copy(update={"samples": (bad, *others)})
    found = judge_timed_answers(speed.model_copy(update={"timed": timed}), ASKED)
    assert found.regret_nats.lower <= ASKED.accuracy.gate.max_regret_nats_per_token
    assert found.outcome == outcome
    assert ("1 of 32 timed answers is garbled" in found.reason) == (outcome == "wrong")


def test_an_answer_without_any_token_lacks_all_of_them() -> None:
    empty = judged(missing=32, read_of_32=0)
    assert empty.outcome == "miscounted"
    assert empty.missing.estimate == 1.0
    assert empty.distinct == 0.0


def test_a_faster_engine_whose_answers_do_not_hold_is_rejected_with_the_reason_first() -> None:
    result = judge_engine(made(missing=28), ASKED, terms(), SUBJECT)
    assert result.outcomes.gates["speed"].outcome == "faster"
    assert (result.verdict.verdict, result.verdict.row) == ("rejected", "timed-answers-miscounted")
    assert "lack 87.5% of the tokens that the engine counts" in result.verdict.reasons[0]


def test_how_tokens_arrived_is_shown_next_to_the_reference() -> None:
    result = judge_engine(made(), ASKED, terms(), SUBJECT)
    (shown,) = (shown for gate, shown in result.shown() if gate.name == "timed answers")
    figures = {figure.label: figure for figure in shown.figures}
    arrived = figures["timed answers: tokens per arrival"]
    assert (arrived.measured, arrived.reference) == ("1.00", "1.00")
    assert figures["timed answers: tokens missing"].limit == "lower ≤ 0.05"
