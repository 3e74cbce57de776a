"""Regrets out of `prompt_logprobs`: what is there is read exactly, and what is not there is an error."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging.judgements import endpoint

from tasks.errors import ServerBroke
from tasks.judging.measure.accuracy.departures import read_departures
from tasks.judging.results import Departure

VLLM = endpoint("vllm", "http://server")
BEST = {"5": {"logprob": -0.1, "rank": 1}}
OTHER = {"7": {"logprob": -0.2, "rank": 1}, "6": {"logprob": -3.5, "rank": 9}}


def read(*entries: Any, continuation: tuple[int, ...] = (5, 6), context: int = 2) -> tuple[Departure, ...]:
    answer = {"choices": [{"prompt_logprobs": [None, {"1": {"logprob": -9.0, "rank": 40}}, *entries]}]}
    return read_departures(answer, continuation, context_tokens=context, asked=VLLM)


def test_every_token_is_compared_with_the_likeliest_at_its_own_place() -> None:
    assert read(BEST, OTHER) == (
        Departure(index=1, engine_token=6, reference_token=7, regret_nats=3.5 - 0.2),
    )
    assert read(BEST, BEST, continuation=(5, 5)) == ()


def test_a_token_that_ties_with_the_likeliest_has_no_regret() -> None:
    tied = {"7": {"logprob": -0.7, "rank": 1}, "6": {"logprob": -0.7, "rank": 2}}
    assert read(BEST, tied) == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (None, "no log-probability for token 6 at position 3"),
        ({}, "no log-probability for token 6"),
        ([], "no log-probability for token 6"),
        ({"7": {"logprob": -0.2, "rank": 1}}, "no log-probability for token 6"),
        ({"6": {"logprob": -0.2, "rank": 2}}, "no likeliest token"),
        ({"6": {"logprob": -0.2}}, "no likeliest token"),
        ({"6": -0.2}, "something other than log-probabilities"),
        ({"6": {"rank": 1}}, "something other than log-probabilities"),
        ({"6": {"logprob": True, "rank": 1}}, "something other than log-probabilities"),
        ({"6": {"logprob": 0.01, "rank": 1}}, "something other than log-probabilities"),
        ({"6": {"logprob": -0.1, "rank": 2}, "7": {"logprob": None, "rank": 1}}, "something other"),
        ({"6": {"logprob": -0.1, "rank": 2}, "7": {"logprob": -0.2, "rank": 1}}, "less likely than the one"),
        ({"6": {"logprob": -0.1, "rank": 1}, "7": {"logprob": -0.2, "rank": 1}}, "no likeliest token"),
    ],
)
def test_what_is_not_reported_is_an_error(entry: Any, message: str) -> None:
    with pytest.raises(ServerBroke, match=message) as caught:
        read(BEST, entry)
    assert caught.value.where == "http://server (vllm)"
    assert caught.value.fix


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "null", '"-0.1"'])
@pytest.mark.parametrize("spoiled", ["6", "7"])
def test_a_number_that_json_lets_through_and_is_none(number: str, spoiled: str) -> None:
    entry = json.loads(json.dumps(OTHER).replace(str(OTHER[spoiled]["logprob"]), number))
    with pytest.raises(ServerBroke, match="something other than log-probabilities"):
        read(BEST, entry)


@pytest.mark.parametrize(
    "answer", [{}, {"choices": []}, {"choices": [{}]}, {"choices": [{"prompt_logprobs": 1}]}]
)
def test_an_answer_without_scores_is_an_error(answer: dict[str, Any]) -> None:
    with pytest.raises(ServerBroke, match="no prompt_logprobs"):
        read_departures(answer, (5,), context_tokens=1, asked=VLLM)


@pytest.mark.parametrize("entries", [(), (BEST,), (BEST, OTHER, BEST)])
def test_another_number_of_scores_than_of_tokens_is_an_error(entries: tuple[Any, ...]) -> None:
    with pytest.raises(ServerBroke, match=rf"{2 + len(entries)} prompt_logprobs for a prompt of 4 tokens"):
        read(*entries)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["5", "6", "logprob", "rank"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(entries=st.lists(JSON, min_size=2, max_size=2))
def test_whatever_is_read_gives_finite_regrets_or_an_error(entries: list[Any]) -> None:
    try:
        found = read(*entries)
    except ServerBroke:
        return
    assert all(math.isfinite(one.regret_nats) and one.regret_nats > 0 for one in found)
