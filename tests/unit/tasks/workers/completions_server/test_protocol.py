"""Requests: what is honoured, what is refused, and with which words."""

from typing import Any

import pytest

from tasks.workers.completions_server.engine import TokenScore
from tasks.workers.completions_server.protocol import (
    BadRequest,
    Completion,
    RequestLimits,
    logprobs_object,
    read_completion,
)

LIMITS = RequestLimits(max_input_len=8, max_seq_len=12, vocab_size=100)


def read(**body: Any) -> Completion:
    return read_completion(body, LIMITS, "model", lambda text: list(text.encode()))


def test_defaults() -> None:
    request = read(prompt=[1, 2])
    assert request == Completion((1, 2), 10, False, False, False, None, False, False)


def test_text_is_encoded_and_flags_are_read() -> None:
    request = read(
        prompt="ab",
        max_tokens=3,
        stream=True,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
        logprobs=0,
        ignore_eos=True,
        return_token_ids=True,
        temperature=0.0,
        n=1,
        seed=7,
        top_p=0.5,
        stop=None,
    )
    assert request == Completion((97, 98), 3, True, True, True, 0, True, True)


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "prompt", "one text or one list"),
        ({"prompt": []}, "prompt", "empty"),
        ({"prompt": [[1], [2]]}, "prompt", "one text or one list"),
        ({"prompt": ["a", "b"]}, "prompt", "one text or one list"),
        ({"prompt": [True]}, "prompt", "one text or one list"),
        ({"prompt": [100]}, "prompt", "token id 100 is outside"),
        ({"prompt": [-1]}, "prompt", "token id -1 is outside"),
        ({"prompt": [1] * 9}, "prompt", "9 tokens"),
        ({"prompt": [1], "max_tokens": 12}, "max_tokens", "exceed the 12 tokens"),
        ({"prompt": [1], "max_tokens": 0}, "max_tokens", "of at least 1"),
        ({"prompt": [1], "max_tokens": 1.5}, "max_tokens", "of at least 1"),
        ({"prompt": [1], "temperature": 0.7}, "temperature", "absent or 0"),
        ({"prompt": [1], "n": 2}, "n", "absent or 1"),
        ({"prompt": [1], "echo": True}, "echo", "not supported"),
        ({"prompt": [1], "stop": ["x"]}, "stop", "not supported"),
        ({"prompt": [1], "logprobs": 21}, "logprobs", "0 to 20"),
        ({"prompt": [1], "logprobs": True}, "logprobs", "0 to 20"),
        ({"prompt": [1], "stream": "yes"}, "stream", "true or false"),
        ({"prompt": [1], "stream_options": {"x": 1}}, "stream_options", "include_usage"),
        (
            {"prompt": [1], "stream_options": {"continuous_usage_stats": True}},
            "stream_options",
            "needs include",
        ),
        ({"prompt": [1], "temprature": 0}, "temprature", "unknown field"),
    ],
)
def test_refusals_name_the_field(body: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        read(**body)
    assert caught.value.param == param
    assert caught.value.status == 400


def test_another_model_is_not_found() -> None:
    with pytest.raises(BadRequest, match="does not exist") as caught:
        read(prompt=[1], model="gpt")
    assert caught.value.status == 404


def test_a_request_must_be_an_object() -> None:
    with pytest.raises(BadRequest, match="JSON object"):
        read_completion([1], LIMITS, "model", lambda _: [])


def test_logprobs_are_parallel_lists_with_offsets() -> None:
    scores = [TokenScore(-0.5, ((1, -0.5), (2, -1.0))), TokenScore(-0.25, ())]
    made = logprobs_object([1, 2], scores, lambda token: "ab" if token == 1 else "c", offset=4)
    assert made == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"ab": -0.5, "c": -1.0}, {}],
        "text_offset": [4, 6],
    }
