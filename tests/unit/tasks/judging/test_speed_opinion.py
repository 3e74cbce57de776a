"""The second opinion on speed decides nothing: whatever it says, everything that is decided is the same."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.judging.cases import OPINION
from support.judging.judgements import SUBJECT, measured, protocol, terms

from tasks.judging import JudgingProtocol, Measured, NoOpinion, SpeedOpinion
from tasks.judging.decide import has_looked, is_conclusive, is_exhausted
from tasks.judging.judge import judge_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.report.last_release import figures_of
from tasks.judging.report.speed_opinion import speed_opinion_view
from tasks.judging.results import NotMeasured, Quantiles

GOOD, BAD, UNSURE = [0.0] * 400, [5.0] * 400, [0.0] * 40
CASES = {
    "fast": (GOOD, 1.4),
    "slow": (GOOD, 0.7),
    "at the bar": (GOOD, 1.1),
    "inaccurate": (BAD, 1.4),
    "few texts": (UNSURE, 1.4),
}
ASKED = protocol(samples=400, margin=0.02, first_pairs=6)
POSITIVE = st.floats(min_value=1e-6, max_value=1e9)
QUANTILES = st.builds(
    Quantiles, count=st.integers(1, 9999), mean=POSITIVE, p50=POSITIVE, p90=POSITIVE, p99=POSITIVE
)
OPINIONS = st.one_of(
    st.builds(NoOpinion, reason=st.text(min_size=1)),
    st.builds(
        SpeedOpinion,
        tool=st.text(),
        concurrency=st.integers(1, 9999),
        mean_in_flight=POSITIVE,
        requests=st.integers(1, 9999),
        mean_input_tokens=POSITIVE,
        mean_output_tokens=POSITIVE,
        output_tokens_per_s=POSITIVE,
        ttft_ms=QUANTILES,
        tpot_ms=QUANTILES,
        e2e_ms=QUANTILES,
        took_s=POSITIVE,
    ),
)


def made(case: str) -> Measured:
    regrets, ratio = CASES[case]
    return measured(ASKED.digest, regrets, ratio=ratio)


def decided(result: Measured, asked: JudgingProtocol) -> tuple[object, ...]:
    """All that follows from a measurement, but for the time of day."""
    judged: JudgedResult = judge_engine(result, asked, terms(compile_mode="always"), SUBJECT)
    return (
        judged.verdict,
        judged.outcomes,
        judged.disqualified,
        judged.speedup,
        figures_of(judged, 1),
        [shown for _, shown in judged.shown()],
        (has_looked(result), is_conclusive(result, asked), is_exhausted(result, asked)),
    )


@cache
def plain(case: str) -> tuple[object, ...]:
    return decided(made(case), ASKED)


def test_the_cases_are_decided_differently() -> None:
    assert len({outcome[0].verdict for outcome in map(plain, CASES)}) >= 3  # type: ignore[attr-defined]


@settings(max_examples=25, deadline=None)
@given(case=st.sampled_from(sorted(CASES)), opinion=OPINIONS)
def test_whatever_it_says_the_verdict_is_the_same(case: str, opinion: SpeedOpinion | NoOpinion) -> None:
    result = made(case).model_copy(update={"speed_opinion": opinion})
    assert decided(result, ASKED) == plain(case)


@given(opinion=OPINIONS)
@settings(max_examples=25, deadline=None)
def test_it_survives_the_store(opinion: SpeedOpinion | NoOpinion) -> None:
    result = made("few texts").model_copy(update={"speed_opinion": opinion})
    assert Measured.model_validate_json(result.model_dump_json()) == result


def test_a_measurement_without_one_is_written_as_before() -> None:
    assert "speed_opinion" not in made("fast").model_dump(mode="json")


def test_the_report_shows_it_next_to_our_figures_per_device() -> None:
    result = made("fast").model_copy(update={"speed_opinion": OPINION})
    shown = speed_opinion_view(result, devices=2)
    assert shown is not None
    assert "It decides nothing." in shown.sentence
    ours, theirs = shown.rows
    assert not isinstance(result.speed, NotMeasured)
    assert ours.tokens_per_s == result.speed.at_operating_point.engine.throughput_per_device.estimate
    assert (theirs.tokens_per_s, theirs.token_ms, theirs.requests) == (617.0, 5.0, 24)


@pytest.mark.parametrize(
    "result",
    [
        made("fast"),
        made("fast").model_copy(
            update={"speed": NotMeasured(reason="not"), "speed_opinion": NoOpinion(reason="not")}
        ),
    ],
    ids=["not asked for", "nothing timed"],
)
def test_the_report_shows_none_where_there_is_nothing_to_compare(result: Measured) -> None:
    assert speed_opinion_view(result, devices=1) is None
