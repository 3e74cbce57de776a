"""The official client of OpenAI's API, called as users of vLLM call it, against a real engine."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from support.engines.built import Built

from artifacts.hosts import EngineManifest
from artifacts.settings import Settings
from tasks.toolchains import Server, ensure, serving

pytestmark = pytest.mark.toolchain

TEMPLATE = "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}[assistant]"
MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
]
PROMPT = "[system]Be brief.[user]Hello?[assistant]"


@pytest.fixture(scope="module")
def server(qwen2: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The engine, with a chat template as checkpoints of chat models have one."""
    tree = tmp_path_factory.mktemp("chat")
    for path in qwen2.tree.iterdir():
        (tree / path.name).symlink_to(path)
    (tree / "chat_template.jinja").write_text(TEMPLATE)
    command = EngineManifest.model_validate_json((tree / "engine.json").read_text()).serve
    toolchain, log = ensure("aot-serve-cpu", Settings()), tmp_path_factory.mktemp("serve") / "log"
    with serving(toolchain, command, tree, log=log, on_line=lambda _: None, ready_limit_s=120) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture(scope="module")
def model(client: openai.OpenAI) -> str:
    (found,) = client.models.list().data
    return found.id


def greedy(client: openai.OpenAI, model: str, tokens: int = 12) -> str:
    """What follows the prompt of the chat."""
    asked = client.completions.create(model=model, prompt=PROMPT, max_tokens=tokens, temperature=0)
    return asked.choices[0].text


def test_a_chat_is_the_completion_of_its_template(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, max_completion_tokens=12, temperature=0, logprobs=True, top_logprobs=3
    )
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == greedy(client, model)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(PROMPT.encode())
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert len(choice.logprobs.content) == answer.usage.completion_tokens
    for token in choice.logprobs.content:
        assert token.logprob == max(one.logprob for one in token.top_logprobs)
        assert len(token.top_logprobs) == 3


def test_a_streamed_chat_says_the_same(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model,
        messages=MESSAGES,
        max_completion_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == greedy(client, model)
    assert chunks[-2].choices[0].finish_reason in {"length", "stop"}
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_seed_repeats_what_sampling_chose(client: openai.OpenAI, model: str) -> None:
    def sampled(seed: int, n: int = 1) -> list[str | None]:
        answer = client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=16, seed=seed, n=n, temperature=1.0, top_p=0.95,
            presence_penalty=0.5, frequency_penalty=0.5, extra_body={"top_k": 100, "repetition_penalty": 1.1},
        )  # fmt: skip
        return [choice.message.content for choice in answer.choices]

    assert sampled(7) == sampled(7) != sampled(8)
    assert sampled(7, n=2) == [*sampled(7), *sampled(8)]


def test_a_stop_string_cuts_the_same_text_streamed_or_not(client: openai.OpenAI, model: str) -> None:
    text = greedy(client, model, 24)
    stop = text[3:6]
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 24, "temperature": 0.0, "stop": [stop, "@@"]}
    whole = client.completions.create(**asked).choices[0]
    assert (whole.text, whole.finish_reason) == (text[: text.find(stop)], "stop")
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)]
    assert "".join(pieces) == whole.text


def test_completions_echo_and_score(client: openai.OpenAI, model: str) -> None:
    echoed = client.completions.create(model=model, prompt="ab", max_tokens=4, temperature=0, echo=True)
    scored = client.completions.create(model=model, prompt="ab", max_tokens=4, temperature=0, logprobs=2)
    assert echoed.choices[0].text == "ab" + scored.choices[0].text
    logprobs = scored.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs is not None
    assert len(logprobs.token_logprobs) == 4
    assert all(value <= 0 for value in logprobs.token_logprobs)


def test_the_likeliest_token_is_what_a_bias_and_early_ends_make_it(client: openai.OpenAI, model: str) -> None:
    forced = client.completions.create(
        model=model, prompt="ab", max_tokens=3, temperature=0, logit_bias={"120": 100},
        extra_body={"stop_token_ids": [120], "min_tokens": 2, "return_token_ids": True},
    )  # fmt: skip
    tokens = forced.choices[0].model_dump()["token_ids"]
    assert 120 not in tokens[:2]
    assert (tokens[2], forced.choices[0].finish_reason) == (120, "stop")


def test_a_forced_token_has_the_log_probability_that_the_model_gave_it(
    client: openai.OpenAI, model: str
) -> None:
    """By this, judging scores the options of tasks."""
    prompt = [5, 6, 7, 8]

    def first(**fields: Any) -> dict[str, Any]:
        asked = client.completions.create(
            model=model, prompt=prompt, max_tokens=1, temperature=0, logprobs=5,
            extra_body={"return_token_ids": True}, **fields,
        )  # fmt: skip
        return asked.choices[0].model_dump()

    (best,) = first()["logprobs"]["top_logprobs"]
    for token in (11, 12, 13):
        forced = first(logit_bias={str(token): 100})
        assert forced["token_ids"] == [token]
        (score,), (top,) = forced["logprobs"]["token_logprobs"], forced["logprobs"]["top_logprobs"]
        assert score < max(best.values()), "the bias is not counted in"
        assert {text: top[text] for text in best} == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"n": 2, "temperature": 0}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "user", "content": "x" * 99}]}, "messages"),
    ],
)
def test_a_refusal_names_the_field(
    client: openai.OpenAI, model: str, wrong: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": model, "messages": MESSAGES, **wrong})  # type: ignore[call-overload]
    assert caught.value.param == param


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="another", messages=MESSAGES)


def test_metrics_are_under_vllms_names(client: openai.OpenAI, model: str, server: Server) -> None:
    greedy(client, model)
    with urllib.request.urlopen(f"{server.base_url}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert f'vllm:num_requests_waiting{{model_name="{model}",engine="0"}} 0' in text
    assert "# TYPE vllm:inter_token_latency_seconds histogram" in text
