"""The client against stand-in servers that answer well, refuse, break off, hang and talk nonsense."""

import asyncio
from typing import Any

import pytest
from support.judging.fake_completions import BEGIN, Behaviour, Fault, Speech, fake_server, next_byte
from support.judging.judgements import endpoint

from tasks.errors import ServerBroke, ServerRefusedRequest, ServerSilent, TaskError
from tasks.judging.measure.completions import Trace, generated_ids, open_client

PROMPT = [5, 6, 7]
NEUTRAL = {"temperature": 0, "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1}


SPEECHES: list[Speech] = ["vllm", "trtllm-serve-1.2", "trtllm-serve-1.4"]


def stream(
    base_url: str,
    *,
    speaks: Speech = "vllm",
    ids: bool = False,
    max_tokens: int = 6,
    limit_s: float = 10.0,
) -> Trace:
    async def ask() -> Trace:
        async with open_client(
            endpoint("engine", base_url, speaks), connections=1, request_limit_s=limit_s
        ) as client:
            ask_stream = client.stream_ids if ids else client.stream
            return (await ask_stream(PROMPT, max_tokens)).read()

    return asyncio.run(ask())


def complete(base_url: str, speaks: Speech) -> list[int]:
    asked = endpoint("engine", base_url, speaks)

    async def ask() -> list[int]:
        async with open_client(asked, connections=1, request_limit_s=5) as client:
            return generated_ids(await client.complete(PROMPT, 6), asked)

    return asyncio.run(ask())


@pytest.mark.parametrize("speaks", SPEECHES)
@pytest.mark.parametrize("per_chunk", [1, 4])
def test_a_stream_counts_every_token_however_it_is_cut(per_chunk: int, speaks: Speech) -> None:
    with fake_server(Behaviour(tokens_per_chunk=per_chunk, speaks=speaks)) as server:
        trace = stream(server.base_url, speaks=speaks)
    assert trace.chunk_tokens == ((1,) * 6 if per_chunk == 1 else (4, 2))
    assert (trace.output_tokens, trace.prompt_tokens) == (6, 3)
    assert trace.largest_chunk == per_chunk
    assert trace.sent_ns < trace.stamps_ns[0]


@pytest.mark.parametrize("speaks", SPEECHES)
def test_every_side_is_timed_with_the_same_request(speaks: Speech) -> None:
    with fake_server(Behaviour(speaks=speaks)) as server:
        stream(server.base_url, speaks=speaks)
        (request,) = server.requests
    assert request == {
        "model": "m",
        "prompt": PROMPT,
        "max_tokens": 6,
        **NEUTRAL,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "ignore_eos": True,
    }


@pytest.mark.parametrize("speaks", SPEECHES)
def test_ids_are_asked_for_in_the_servers_own_way(speaks: Speech) -> None:
    with fake_server(Behaviour(speaks=speaks)) as server:
        ids = complete(server.base_url, speaks)
        (request,) = server.requests
    expected = list(PROMPT)
    for _ in range(6):
        expected.append(next_byte(expected))
    assert ids == expected[3:]
    asking = {"return_token_ids": True} if speaks == "vllm" else {"detokenize": False}
    assert request == {"model": "m", "prompt": PROMPT, "max_tokens": 6, **NEUTRAL} | asking


@pytest.mark.parametrize("speaks", SPEECHES)
@pytest.mark.parametrize("per_chunk", [1, 4])
def test_ids_are_streamed_by_the_request_that_is_timed_and_no_other(per_chunk: int, speaks: Speech) -> None:
    with fake_server(Behaviour(tokens_per_chunk=per_chunk, speaks=speaks)) as server:
        timed = stream(server.base_url, speaks=speaks)
        named = stream(server.base_url, speaks=speaks, ids=True)
        plain, asking = server.requests
        assert complete(server.base_url, speaks) == list(named.token_ids)
    assert timed.token_ids == ()
    assert named.chunk_tokens == timed.chunk_tokens
    assert named.text == (timed.text if speaks == "vllm" else "")
    extra = {"return_token_ids": True} if speaks == "vllm" else {"detokenize": False}
    assert asking == plain | extra


@pytest.mark.parametrize("speaks", SPEECHES[1:])
def test_a_command_that_says_the_wrong_way_is_refused_by_the_server(speaks: Speech) -> None:
    with (
        fake_server(Behaviour(speaks=speaks)) as server,
        pytest.raises(ServerRefusedRequest, match=r"not permitted: \['return_token_ids'\]"),
    ):
        complete(server.base_url, "vllm")


@pytest.mark.parametrize("speaks", SPEECHES)
@pytest.mark.parametrize(
    ("fault", "message"),
    [("miscount", "6 token ids but counts 7 tokens"), ("no-ids", "has no token ids")],
)
def test_ids_that_the_server_does_not_count_are_refused(fault: Fault, message: str, speaks: Speech) -> None:
    with (
        fake_server(Behaviour(fault=fault, speaks=speaks)) as server,
        pytest.raises(ServerBroke, match=message),
    ):
        complete(server.base_url, speaks)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("refuse", ServerRefusedRequest, "400: max_tokens is beyond max_seq_len 64"),
        ("crash", ServerBroke, "500: Internal Server Error"),
        ("break", ServerBroke, "connection failed"),
        ("no-done", ServerBroke, "ended after 6 of 6 tokens, without"),
        ("short", ServerBroke, "5 tokens; 6"),
        ("miscount", ServerBroke, "7 tokens; 6"),
        ("miscount-at-end", ServerBroke, "counted 6 tokens, but its final usage says 7"),
        ("uncounted", ServerBroke, "after 0 tokens says that there are None"),
        ("negative", ServerBroke, "reports -1 as completion_tokens"),
        ("no-whole-count", ServerBroke, "reports 1.5 as completion_tokens"),
        ("error-event", ServerBroke, "engine died"),
        ("hang", ServerSilent, "within 0.3 s"),
    ],
)
def test_a_server_that_misbehaves_is_reported_with_its_own_words(
    fault: Any, error: type[TaskError], message: str
) -> None:
    limit_s = 0.3 if fault == "hang" else 10.0
    with fake_server(Behaviour(fault=fault)) as server, pytest.raises(error, match=message) as caught:
        stream(server.base_url, limit_s=limit_s)
    assert "engine" in str(caught.value) or server.base_url in str(caught.value)


def test_a_server_that_is_gone_is_reported() -> None:
    with fake_server(Behaviour()) as server:
        gone = server.base_url
    with pytest.raises(ServerBroke, match="connection failed") as caught:
        stream(gone)
    assert gone in caught.value.where


def test_an_answer_that_is_no_json_is_reported() -> None:
    async def ask(base_url: str) -> None:
        async with open_client(endpoint("vllm", base_url), connections=1, request_limit_s=5) as client:
            await client.complete(PROMPT, 1)

    with fake_server(Behaviour(fault="not-json")) as server, pytest.raises(ServerBroke, match="proxy"):
        asyncio.run(ask(server.base_url))


def test_text_goes_through_the_servers_own_tokenizer_and_back() -> None:
    async def ask(base_url: str) -> tuple[list[int], list[int], str]:
        async with open_client(endpoint("vllm", base_url), connections=1, request_limit_s=5) as client:
            plain = await client.tokenize("Größe", special_tokens=False)
            return await client.tokenize("Größe"), plain, await client.detokenize(plain)

    with fake_server(Behaviour()) as server:
        full, plain, text = asyncio.run(ask(server.base_url))
    assert full == [BEGIN, *plain]
    assert text == "Größe"
