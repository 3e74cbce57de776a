"""The protocol over real sockets, with an engine that computes nothing."""

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.engines.fake_engine import VOCABULARY, FakeEngine, continuation

from tasks.workers.completions_server.batching.batch import Batcher
from tasks.workers.completions_server.http import CompletionServer, Service
from tasks.workers.completions_server.protocol.reading import Served
from tasks.workers.completions_server.protocol.records import RequestLimits
from tasks.workers.completions_server.text.chat_template import ChatTemplate

WAIT_S = 10.0


class LetterCodec:
    """One token a character."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token for token in tokens if token).decode()

    decode_all = decode

    def spell(self, token: int) -> str:
        return chr(token)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def template() -> str:
    return "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture
def port(engine: FakeEngine, template: str, tmp_path: Path) -> Iterator[int]:
    batcher, codec = Batcher(engine), LetterCodec()
    (tmp_path / "chat_template.jinja").write_text(template)
    defaults = {"temperature": 0}
    served = Served("model", RequestLimits(8, 40, VOCABULARY), codec, ChatTemplate(tmp_path), defaults)
    service = Service(batcher, codec, served, engine)
    server = CompletionServer(("127.0.0.1", 0), service)
    threads = [
        threading.Thread(target=batcher.run),
        threading.Thread(target=server.serve_forever, args=(0.01,)),
    ]
    for thread in threads:
        thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    batcher.stop()
    if engine.gate is not None:
        engine.gate.release(10_000)
    for thread in threads:
        thread.join(WAIT_S)


def call(port: int, method: str, path: str, body: str | bytes | None = None) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def chat(port: int, **body: Any) -> tuple[int, dict[str, Any]]:
    asked = {"messages": [{"role": "user", "content": "ab"}], **body}
    return call(port, "POST", "/v1/chat/completions", json.dumps(asked))


def complete(port: int, **body: Any) -> tuple[int, dict[str, Any]]:
    return call(port, "POST", "/v1/completions", json.dumps(body))


def stream(port: int, path: str = "/v1/completions", **body: Any) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("POST", path, json.dumps({**body, "stream": True}))
    events = connection.getresponse().read().decode().split("\n\n")
    connection.close()
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_health_and_models(port: int) -> None:
    assert call(port, "GET", "/health") == (200, {})
    status, models = call(port, "GET", "/v1/models")
    assert (status, models["data"][0]["id"]) == (200, "model")
    assert call(port, "GET", "/nothing")[0] == 404


def test_an_answer_in_one_piece(port: int) -> None:
    status, answer = complete(
        port, model="model", prompt="ab", max_tokens=4, logprobs=1, return_token_ids=True
    )
    expected = continuation(b"ab", 4)
    choice = answer["choices"][0]
    assert status == 200
    assert choice["text"] == bytes(expected).decode()
    assert (choice["token_ids"], choice["prompt_token_ids"]) == (expected, [97, 98])
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"]["token_logprobs"] == [-1.0] * 4
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


def test_a_stream_says_the_same_token_by_token(port: int) -> None:
    chunks = stream(
        port, prompt=[97], max_tokens=3, stream_options={"include_usage": True}, return_token_ids=True
    )
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert [choice["token_ids"] for choice in choices] == [[token] for token in continuation([97], 3)]
    assert choices[0]["prompt_token_ids"] == [97]
    assert [choice["finish_reason"] for choice in choices] == [None, None, "length"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 3


def test_every_chunk_of_a_stream_counts_where_that_is_asked_for(port: int) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = stream(port, prompt=[97], max_tokens=3, stream_options=options)
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 3]
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {1}


def test_the_stop_reason_and_no_text_for_the_end_token(port: int, engine: FakeEngine) -> None:
    engine.ends_after = 3
    _, answer = complete(port, prompt="ab", max_tokens=9)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["text"] == bytes(continuation(b"ab", 1)).decode()
    assert answer["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("{bad", 400, "not JSON"),
        ("[" * 100_000, 400, "not JSON"),
        ('{"prompt": [1], "n": 3}', 400, "n = 3"),
        ('{"prompt": [1], "suffix": "x"}', 400, "suffix"),
        ('{"prompt": [1], "model": "x"}', 404, "'x'"),
        ('{"prompt": ' + "1" * 5000 + "}", 400, "not JSON"),
        (b'\xff"', 400, "not JSON"),
        (b'{"prompt": "\xed\xa0\x80"}', 400, "not JSON"),
        (r'{"prompt": "a\ud83d"}', 400, "'prompt' has half a surrogate pair"),
        (r'{"prompt": ["b", "\uDE00a"]}', 400, "'prompt' has half a surrogate pair"),
        (r'{"prompt": "a", "stop": ["\ud83d\ud83d"]}', 400, "'stop' has half a surrogate pair"),
        (r'{"prompt": "a", "model": "\udc00"}', 400, "'model' has half a surrogate pair"),
        (r'{"prompt": "a", "logit_bias": {"\udc00": 1}}', 400, "'logit_bias' has half a surrogate pair"),
        (r'{"prompt": "a", "\udc00": 1}', 400, r"'\udc00' has half a surrogate pair"),
        (r'["\udc00"]', 400, "the request has half a surrogate pair"),
    ],
)
def test_errors_are_openai_objects_and_the_server_goes_on(
    port: int, body: str | bytes, status: int, said: str
) -> None:
    found, answer = call(port, "POST", "/v1/completions", body)
    assert found == status
    assert said in answer["error"]["message"]
    assert answer["error"]["code"] == status
    assert complete(port, prompt=[1], max_tokens=1)[0] == 200


@pytest.mark.parametrize("prompt", ["ab", ["ab"], [97, 98], [[97, 98]]])
def test_one_prompt_has_four_forms(port: int, prompt: object) -> None:
    status, answer = complete(port, prompt=prompt, max_tokens=2, return_token_ids=True)
    assert status == 200
    assert [choice["token_ids"] for choice in answer["choices"]] == [continuation(b"ab", 2)]


def test_one_connection_takes_many_requests(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    for body in (
        "{bad",
        '{"prompt": [5], "max_tokens": 2}',
        '{"prompt": [5], "max_tokens": 2, "stream": true}',
    ):
        connection.request("POST", "/v1/completions", body)
        assert connection.getresponse().read()
    connection.close()


def test_a_broken_engine_is_an_error_not_a_hang(port: int, engine: FakeEngine) -> None:
    engine.fails = True
    status, answer = complete(port, prompt=[1])
    assert (status, answer["error"]["type"]) == (500, "InternalServerError")
    assert "the graph broke" in stream(port, prompt=[1])[0]["error"]["message"]


def test_parallel_clients_get_their_own_tokens(port: int) -> None:
    answers: dict[int, list[int]] = {}

    def ask(seed: int) -> None:
        answers[seed] = complete(port, prompt=[seed], max_tokens=12, return_token_ids=True)[1]["choices"][0][
            "token_ids"
        ]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert answers == {seed: continuation([seed], 12) for seed in range(1, 9)}


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_frees_its_row(port: int, engine: FakeEngine, streamed: bool) -> None:
    engine.gate = threading.Semaphore(2)
    body = json.dumps({"prompt": [1], "max_tokens": 39, "stream": streamed}).encode()
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    until(lambda: len(engine.calls) == 2)
    client.close()
    # Tokens go on slowly, so that the server has time to notice before all are made.
    deadline = time.monotonic() + WAIT_S
    while len(engine.calls) < 39 and time.monotonic() < deadline:
        before = len(engine.calls)
        engine.gate.release()
        time.sleep(0.3)
        if len(engine.calls) == before:
            break
    assert len(engine.calls) < 39
    until(lambda: metrics(port)["vllm:num_requests_running"] == 0)
    assert metrics(port)['vllm:request_success_total{finished_reason="abort"}'] == 1


def metrics(port: int) -> dict[str, float]:
    """The samples by name, with the labels that not all have."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    common = 'model_name="model",engine="0"'
    short = (
        (name.replace(f"{{{common}}}", "").replace(f"{common},", ""), value) for name, _, value in samples
    )
    return {name: float(value) for name, value in short}


def test_metrics_count_what_was_served(port: int) -> None:
    complete(port, prompt=[1, 2], max_tokens=3)
    found = metrics(port)
    assert found["vllm:prompt_tokens_total"] == 2
    assert found["vllm:generation_tokens_total"] == 3
    assert found["vllm:time_to_first_token_seconds_count"] == 1
    assert found["vllm:inter_token_latency_seconds_count"] == 2
    until(lambda: metrics(port)['vllm:request_success_total{finished_reason="length"}'] == 1)


def test_those_who_wait_for_a_row_are_counted(port: int, engine: FakeEngine) -> None:
    engine.gate = threading.Semaphore(2)
    body = json.dumps({"prompt": [[1]] * 5, "max_tokens": 9}).encode()
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    until(lambda: metrics(port)["vllm:num_requests_running"] == 3)
    assert metrics(port)["vllm:num_requests_waiting"] == 2
    client.close()


def test_a_chat_in_one_piece(port: int) -> None:
    status, answer = chat(port, max_tokens=4, logprobs=True, top_logprobs=2, return_token_ids=True)
    choice, expected = answer["choices"][0], continuation(b"ab", 4)
    assert (status, answer["object"]) == (200, "chat.completion")
    assert choice["message"] == {"role": "assistant", "content": bytes(expected).decode()}
    assert (answer["prompt_token_ids"], choice["token_ids"]) == ([97, 98], expected)
    assert choice["finish_reason"] == "length"
    first = choice["logprobs"]["content"][0]
    assert (first["token"], first["bytes"]) == (chr(expected[0]), [expected[0]])
    assert [one["token"] for one in first["top_logprobs"]] == ["a", "b"]


def test_a_streamed_chat_begins_with_the_role(port: int) -> None:
    chunks = stream(
        port,
        "/v1/chat/completions",
        messages=[{"role": "user", "content": "ab"}],
        max_tokens=3,
        stream_options={"include_usage": True},
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta["content"] for delta in deltas) == bytes(continuation(b"ab", 3)).decode()
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


@pytest.mark.parametrize("template", ["{{ raise_exception('roles must alternate') }}"])
def test_what_the_template_refuses_is_a_bad_request(port: int) -> None:
    status, answer = chat(port)
    assert (status, answer["error"]["param"]) == (400, "messages")
    assert "roles must alternate" in answer["error"]["message"]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("included", [True, False])
def test_a_stop_string_over_two_tokens_ends_the_text_and_frees_the_row(
    port: int, engine: FakeEngine, streamed: bool, included: bool
) -> None:
    text = bytes(continuation(b"ab", 38)).decode()
    stop = text[3:5]
    asked = {"prompt": "ab", "max_tokens": 38, "stop": [stop], "include_stop_str_in_output": included}
    if streamed:
        choices = [chunk["choices"][0] for chunk in stream(port, **asked)]
    else:
        choices = complete(port, **asked)[1]["choices"]
    assert "".join(choice["text"] for choice in choices) == text[: text.find(stop)] + stop * included
    assert (choices[-1]["finish_reason"], choices[-1]["stop_reason"]) == ("stop", stop)
    until(lambda: metrics(port)["vllm:num_requests_running"] == 0)


def test_the_token_that_ends_a_text_is_named_and_not_part_of_it(port: int) -> None:
    tokens = continuation(b"ab", 4)
    _, answer = complete(port, prompt="ab", max_tokens=4, stop_token_ids=[tokens[2]], return_token_ids=True)
    (choice,) = answer["choices"]
    kept = tokens[: tokens.index(tokens[2]) + 1]
    assert choice["token_ids"] == kept
    assert choice["text"] == bytes(kept[:-1]).decode()
    assert choice["stop_reason"] == tokens[2]


def test_several_choices_of_several_prompts(port: int) -> None:
    asked = {"prompt": ["ab", "c"], "n": 2, "temperature": 1, "seed": 1, "max_tokens": 5, "echo": True}
    choices = complete(port, **asked)[1]["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert [choice["text"][:-5] for choice in choices] == ["ab", "ab", "c", "c"]
    texts = [choice["text"][-5:] for choice in choices]
    assert texts[0] != texts[1], "each choice has a seed of its own"
    assert texts[:2] == texts[2:], "the fake engine draws by the seed alone"
    chunks = stream(port, **asked, stream_options={"include_usage": True})
    streamed = ["", "", "", ""]
    for chunk in chunks[:-1]:
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert streamed == [choice["text"] for choice in choices]
    assert chunks[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 20, "total_tokens": 23}


def test_unknown_fields_are_logged_once(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert complete(port, prompt=[1], max_tokens=1, best_friend=True)[0] == 200
    assert capfd.readouterr().out.count("best_friend") == 1


def test_a_reset_connection_leaves_no_traceback(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    until(lambda: client.recv(1, socket.MSG_PEEK))
    # Closing with an answer unread and no time to linger sends a reset.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert call(port, "GET", "/health") == (200, {})
    assert "Traceback" not in capfd.readouterr().err


def until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
