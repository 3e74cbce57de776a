"""Requests: what is honoured, what is refused, and with which words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tasks.workers.completions_server.engine import Sampling
from tasks.workers.completions_server.protocol.errors import BadRequest
from tasks.workers.completions_server.protocol.reading import Served, read_chat, read_completion
from tasks.workers.completions_server.protocol.records import Form, Generation, Request, RequestLimits
from tasks.workers.completions_server.text.chat_template import TemplateRefused


class Letters:
    """A tokenizer of one token per byte, with 1 in front if special tokens are asked for."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return [*([1] if special else []), *text.encode()]

    def decode_all(self, tokens: Sequence[int]) -> str:
        return "".join(f"<{token}>" for token in tokens)


class Joined:
    """A template that joins contents, and shows its variables."""

    def render(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        if messages[0]["role"] == "tool":
            raise TemplateRefused("no tools")
        return "".join(one["content"] for one in messages) + "".join(sorted(variables))[:1]


SERVED = Served("model", RequestLimits(max_input_len=8, max_seq_len=12, vocab_size=128), Letters(), Joined())
NEUTRAL = {"temperature": 0, "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1}


def read(**body: Any) -> Request:
    return read_completion(body, SERVED)


def chat(**body: Any) -> Request:
    return read_chat({"messages": [{"role": "user", "content": "ab"}], **body}, SERVED)


def sampling(**body: Any) -> Sampling:
    return read(prompt=[1], **body).generations[0].sampling


def test_defaults_are_those_of_vllm() -> None:
    expected = Generation((1, 2), 10, sampling=Sampling(temperature=1.0))
    assert read(prompt=[1, 2]) == Request((expected,), 1, Form())


def test_what_judging_sends_is_greedy_and_draws_nothing() -> None:
    asked = read(prompt=[1], max_tokens=3, ignore_eos=True, return_token_ids=True, **NEUTRAL)
    assert asked.generations == (Generation((1,), 3, ignore_eos=True),)
    assert asked.generations[0].sampling.takes_the_likeliest


def test_defaults_of_the_checkpoint_come_before_those_of_vllm_and_after_the_request() -> None:
    served = replace(SERVED, defaults={"temperature": 0.6, "top_k": 20, "max_new_tokens": 3})
    request = read_chat({"messages": [{"role": "user", "content": "a"}], "top_k": 5}, served)
    assert request.generations[0].sampling == Sampling(temperature=0.6, top_k=5)
    assert request.generations[0].max_tokens == 3
    assert read_completion({"prompt": [1]}, served).generations[0].max_tokens == 11


def test_text_is_encoded_and_everything_is_read() -> None:
    request = read(
        prompt="ab",
        max_tokens=3,
        stream=True,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
        logprobs=0,
        ignore_eos=True,
        return_token_ids=True,
        temperature=0.5,
        top_p=0.9,
        top_k=-1,
        min_p=0.1,
        seed=7,
        presence_penalty=-1,
        frequency_penalty=2,
        repetition_penalty=1.5,
        logit_bias={"4": 200},
        min_tokens=2,
        stop_token_ids=[9],
        stop="x",
        include_stop_str_in_output=True,
        skip_special_tokens=False,
        add_special_tokens=False,
    )
    asked = Sampling(0.5, 0.9, 0, 0.1, -1.0, 2.0, 1.5, ((4, 100.0),), 2, 7)
    generation = Generation((97, 98), 3, 0, True, frozenset([9]), asked)
    form = Form(False, True, True, True, True, ("x",), True, False)
    assert request == Request((generation,), 1, form)


def test_choices_of_several_prompts_come_prompt_by_prompt_each_with_its_own_seed() -> None:
    request = read(prompt=["a", "bb"], n=2, seed=3, echo=True, max_tokens=1)
    assert [len(one.prompt) for one in request.generations] == [2, 2, 3, 3]
    assert [one.sampling.seed for one in request.generations] == [3, 4, 3, 4]
    assert request.form.echo == ("a", "bb")
    assert request.prompt_tokens == 5


def test_the_echo_of_token_ids_is_their_text() -> None:
    assert read(prompt=[[1, 2], [3]], echo=True).form.echo == ("<1><2>", "<3>")


def test_a_temperature_of_almost_nothing_is_greedy_and_forgets_what_only_shapes_sampling() -> None:
    assert sampling(temperature=1e-6, top_p=0.5, top_k=3, min_p=0.1, seed=1) == Sampling()


def test_a_seed_of_minus_one_is_none() -> None:
    assert sampling(seed=-1).seed is None


def test_unknown_fields_are_ignored_and_named() -> None:
    assert read(prompt=[1], temprature=0, user="me").ignored == ("temprature",)
    assert chat(prompt=[1]).ignored == ("prompt",)


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "prompt", "a text, a list of token ids"),
        ({"prompt": []}, "prompt", "empty"),
        ({"prompt": [[1], []]}, "prompt", "empty"),
        ({"prompt": [[1], "a", 3]}, "prompt", "a text, a list of token ids"),
        ({"prompt": [True]}, "prompt", "a text, a list of token ids"),
        ({"prompt": [128]}, "prompt", "token id 128 is outside"),
        ({"prompt": [-1]}, "prompt", "token id -1 is outside"),
        ({"prompt": [1] * 9}, "prompt", "9 tokens"),
        ({"prompt": ["a"] * 100, "n": 2}, "prompt", "more than 128 choices"),
        ({"prompt": [1], "max_tokens": 12}, "max_tokens", "exceed the 12 tokens"),
        ({"prompt": [1], "max_tokens": 0}, "max_tokens", "of at least 1"),
        ({"prompt": [1], "max_tokens": 1.5}, "max_tokens", "of at least 1"),
        ({"prompt": [1], "min_tokens": 4, "max_tokens": 3}, "min_tokens", "more than max_tokens = 3"),
        ({"prompt": [1], "temperature": 2.1}, "temperature", "from 0 to 2"),
        ({"prompt": [1], "temperature": "hot"}, "temperature", "from 0 to 2"),
        ({"prompt": [1], "temperature": float("nan")}, "temperature", "from 0 to 2"),
        ({"prompt": [1], "top_p": 0}, "top_p", "to 1"),
        ({"prompt": [1], "top_k": -2}, "top_k", "of at least -1"),
        ({"prompt": [1], "min_p": 1.5}, "min_p", "from 0 to 1"),
        ({"prompt": [1], "presence_penalty": 3}, "presence_penalty", "from -2 to 2"),
        ({"prompt": [1], "frequency_penalty": -3}, "frequency_penalty", "from -2 to 2"),
        ({"prompt": [1], "repetition_penalty": 0}, "repetition_penalty", "a number from"),
        ({"prompt": [1], "seed": 2**63}, "seed", "a whole number"),
        ({"prompt": [1], "logit_bias": {"128": 1}}, "logit_bias", "from 0 to 127"),
        ({"prompt": [1], "logit_bias": {"a": 1}}, "logit_bias", "from 0 to 127"),
        ({"prompt": [1], "logit_bias": {"1": float("nan")}}, "logit_bias", "from 0 to 127"),
        ({"prompt": [1], "n": 0}, "n", "from 1 to 128"),
        ({"prompt": [1], "n": 2, "temperature": 0}, "n", "must be 1 if temperature is 0"),
        ({"prompt": [1], "echo": True, "logprobs": 1}, "echo", "not supported"),
        ({"prompt": [1], "stop": [""]}, "stop", "not empty"),
        ({"prompt": [1], "stop": ["a"] * 5}, "stop", "up to 4"),
        ({"prompt": [1], "stop_token_ids": [128]}, "stop_token_ids", "from 0 to 127"),
        ({"prompt": [1], "logprobs": 21}, "logprobs", "0 to 20"),
        ({"prompt": [1], "logprobs": -1}, "logprobs", "0 to 20"),
        ({"prompt": [1], "logprobs": True}, "logprobs", "0 to 20"),
        ({"prompt": [1], "stream": "yes"}, "stream", "true or false"),
        ({"prompt": [1], "stream_options": {"include_usage": True}}, "stream_options", "needs stream"),
        (
            {"prompt": [1], "stream": True, "stream_options": {"continuous_usage_stats": True}},
            "stream_options",
            "needs include",
        ),
        ({"prompt": [1], "suffix": "x"}, "suffix", "not supported"),
        ({"prompt": [1], "response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"prompt": [1], "prompt_logprobs": 1}, "prompt_logprobs", "not supported"),
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
        read_completion([1], SERVED)


def test_a_chat_is_rendered_and_may_take_all_the_room_that_is_left() -> None:
    request = chat(logprobs=True, top_logprobs=2)
    (generation,) = request.generations
    assert generation.prompt == tuple(b"aba"), "no special tokens: the template writes them"
    assert (generation.max_tokens, generation.logprobs) == (9, 2)
    assert request.form.chat


def test_either_name_limits_the_tokens_of_a_chat() -> None:
    asked = [chat(max_tokens=4), chat(max_completion_tokens=5), chat(max_tokens=4, max_completion_tokens=5)]
    assert [one.generations[0].max_tokens for one in asked] == [4, 5, 5]


def test_parts_of_a_message_are_its_lines() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (generation,) = chat(messages=[{"role": "user", "content": parts}]).generations
    assert generation.prompt == tuple(b"a\nba")


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"messages": []}, "messages", "a list of messages"),
        ({"messages": [{"content": "x"}]}, "messages", "role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages",
            "no other content",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "no tools"),
        ({"messages": [{"role": "user", "content": "a" * 9}]}, "messages", "10 tokens"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"logprobs": 3}, "logprobs", "true or false"),
        ({"max_completion_tokens": 10}, "max_completion_tokens", "exceed the 12"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"tool_choice": "required"}, "tool_choice", "not supported"),
        ({"chat_template": "x"}, "chat_template", "not supported"),
        ({"echo": True}, "echo", "not supported"),
    ],
)
def test_refusals_of_chats_name_the_field(body: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        chat(**body)
    assert (caught.value.param, caught.value.status) == (param, 400)
