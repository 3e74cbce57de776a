"""The shipped server with a real engine, against the Hugging Face model token by token."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engines.built import PROGRAMS, Built, RunJob

from artifacts.hosts import EngineManifest
from artifacts.settings import Settings
from tasks.errors import ServerNotReady
from tasks.toolchains import Server, ensure, serving

pytestmark = pytest.mark.toolchain

COUNT = 12
# Ragged on purpose, more than there are rows, the longest as long as the engine takes.
PROMPTS = [
    [(7 * index + 3 * position) % 256 for position in range(length)]
    for index, length in enumerate([1, 64, 5, 17, 30, 2, 16])
]

Serve = Callable[..., Any]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start the server of a tree, in the toolchain of serving hosts."""
    toolchain = ensure("aot-serve-cpu", Settings())

    def start(tree: Path) -> Any:
        recipe = EngineManifest.model_validate_json((tree / "engine.json").read_text()).serve
        log = tmp_path_factory.mktemp("serve") / "log"
        return serving(toolchain, recipe, tree, log=log, on_line=lambda _line: None, ready_limit_s=120)

    return start


@pytest.fixture(scope="module")
def server(serve: Serve, qwen2: Built) -> Iterator[Server]:
    with serve(qwen2.tree) as running:
        yield running


@pytest.fixture(scope="module")
def eager(job: RunJob, qwen2: Built) -> dict[str, list[Any]]:
    """What the Hugging Face model says."""
    params = {"prompts": PROMPTS, "count": COUNT}
    return job(PROGRAMS / "eager_tokens.py", params, checkpoint=qwen2.checkpoint).metrics


def ask(server: Server, path: str = "completions", **body: Any) -> Any:
    """The decoded answer; of a stream the list of its chunks."""
    data = json.dumps({"model": server.model, "temperature": 0, **body}).encode()
    with urllib.request.urlopen(f"{server.base_url}/v1/{path}", data, timeout=60) as response:
        text = response.read().decode()
    if not body.get("stream"):
        return json.loads(text)
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_ragged_requests_at_once_get_the_tokens_of_the_eager_model(
    server: Server, eager: dict[str, list[Any]]
) -> None:
    answers: dict[int, list[int]] = {}

    def one(index: int) -> None:
        body = {"prompt": PROMPTS[index], "max_tokens": COUNT, "ignore_eos": True, "return_token_ids": True}
        answers[index] = ask(server, **body)["choices"][0]["token_ids"]

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[index] for index in range(len(PROMPTS))] == eager["tokens"]


def test_a_stream_and_its_scores(server: Server, eager: dict[str, list[Any]]) -> None:
    chunks = ask(
        server,
        prompt=PROMPTS[2],
        max_tokens=COUNT,
        ignore_eos=True,
        stream=True,
        logprobs=2,
        return_token_ids=True,
    )
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["token_ids"][0] for choice in choices] == eager["tokens"][2]
    scores = [choice["logprobs"]["token_logprobs"][0] for choice in choices]
    assert scores == pytest.approx(eager["logprobs"][2], abs=1e-4)


def test_every_chunk_counts_the_tokens_so_far(server: Server) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = ask(
        server, prompt=PROMPTS[2], max_tokens=3, ignore_eos=True, stream=True, stream_options=options
    )
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 3]
    assert not any("token_ids" in choice for chunk in chunks for choice in chunk["choices"])


def test_text_goes_in_and_comes_out(server: Server) -> None:
    text = "naïve café 日本"
    answer = ask(server, prompt=text, max_tokens=3, return_token_ids=True)
    choice = answer["choices"][0]
    assert len(choice["prompt_token_ids"]) == len(text.encode())
    assert answer["usage"]["prompt_tokens"] == len(text.encode())
    assert isinstance(choice["text"], str)


def test_the_very_last_position_is_served(server: Server) -> None:
    answer = ask(server, prompt=PROMPTS[1], max_tokens=32, ignore_eos=True)
    assert answer["usage"]["total_tokens"] == 96


@pytest.mark.parametrize("body", [{"prompt": [300]}, {"prompt": [1] * 65}, {"prompt": [1], "max_tokens": 96}])
def test_what_would_abort_the_process_is_refused(server: Server, body: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, **body)
    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"]["message"]
    assert ask(server, prompt=[1], max_tokens=1)["usage"]["completion_tokens"] == 1


def test_a_sequence_ends_at_the_tokens_that_the_request_names(
    server: Server, eager: dict[str, list[Any]]
) -> None:
    tokens = eager["tokens"][4]
    end = tokens[3]
    answer = ask(
        server,
        prompt=PROMPTS[4],
        max_tokens=COUNT,
        ignore_eos=True,
        stop_token_ids=[end],
        return_token_ids=True,
    )
    choice = answer["choices"][0]
    assert choice["token_ids"] == tokens[: tokens.index(end) + 1]
    assert choice["finish_reason"] == "stop"


def test_a_checkpoint_without_a_chat_template_says_what_to_use_instead(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, "chat/completions", messages=[{"role": "user", "content": "hi"}])
    error = json.loads(caught.value.read())["error"]
    assert (caught.value.code, error["param"]) == (400, "messages")
    assert "no chat template" in error["message"]
    assert "/v1/completions" in error["message"]


def test_rows_that_draw_leave_greedy_rows_as_they_are(server: Server, eager: dict[str, list[Any]]) -> None:
    """Choosing other tokens for some rows of an iteration must not touch the others."""
    answers: dict[int, Any] = {}

    def one(index: int) -> None:
        heat = 0 if index % 2 == 0 else 1.0
        body = {"prompt": PROMPTS[index], "temperature": heat, "top_p": 0.9, "seed": 3}
        answers[index] = ask(server, max_tokens=COUNT, ignore_eos=True, return_token_ids=True, **body)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tokens = [answers[index]["choices"][0]["token_ids"] for index in range(len(PROMPTS))]
    assert tokens[::2] == eager["tokens"][::2]
    assert tokens[1::2] != eager["tokens"][1::2]


def test_what_a_tokenizer_keeps_from_training_neither_cuts_nor_pads_a_prompt(
    serve: Serve, qwen2: Built, tmp_path: Path
) -> None:
    for path in qwen2.tree.iterdir():
        (tmp_path / path.name).symlink_to(path)
    kept = json.loads((qwen2.tree / "tokenizer.json").read_text())
    kept["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    kept["padding"] = {
        "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "!",
    }  # fmt: skip
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(json.dumps(kept))
    with serve(tmp_path) as running:
        short, long = (ask(running, prompt=text, max_tokens=1) for text in ("abc", "x" * 40))
        assert [one["usage"]["prompt_tokens"] for one in (short, long)] == [3, 40]
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(running, prompt="x" * 65, max_tokens=1)
    assert "compiled for at most 64" in json.loads(caught.value.read())["error"]["message"]


def test_a_host_that_lacks_a_feature_is_reported(serve: Serve, qwen2: Built, tmp_path: Path) -> None:
    for path in qwen2.tree.iterdir():
        (tmp_path / path.name).symlink_to(path)
    manifest = json.loads((qwen2.tree / "engine.json").read_text())
    manifest["requires"]["cpu_features"].append("avx9000")
    (tmp_path / "engine.json").unlink()
    (tmp_path / "engine.json").write_text(json.dumps(manifest))
    with pytest.raises(ServerNotReady, match="lacks avx9000"), serve(tmp_path):
        pass
