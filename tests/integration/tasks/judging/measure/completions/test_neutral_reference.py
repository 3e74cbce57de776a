"""vLLM itself, on a checkpoint that asks for penalties and names several ends."""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from support.judging.judgements import endpoint
from support.paths import ROOT

from artifacts.settings import Settings
from engine_specs.spec import load_spec, resolve_variants
from tasks.judging.measure.accuracy.task_scores.options import score_options
from tasks.judging.measure.completions.client import NEUTRAL, CompletionsClient, open_client
from tasks.kinds import vllm_serve_command
from tasks.toolchains import Server, ensure, serving

pytestmark = pytest.mark.toolchain

CHECKPOINT = ROOT / "flows" / "demo" / "hub" / "enginery" / "demo-llama"
# A prompt that makes the model repeat itself, as penalties forbid.
PROMPT = "def read_lines(path):\n    return path.read_text()\n\n\ndef read_lines"
COUNT = 24
TEMPLATE = "{% for one in messages %}[{{ one.role }}]{{ one.content }}{% endfor %}[assistant]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("vllm")
    tree = folder / "checkpoint"
    shutil.copytree(CHECKPOINT, tree)
    path = tree / "generation_config.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    sampled = {"do_sample": True, "temperature": 0.9, "repetition_penalty": 1.8}
    path.write_text(json.dumps(kept | sampled))
    (tree / "chat_template.jinja").write_text(TEMPLATE)
    (variant,) = resolve_variants(load_spec("demo"))
    serve = vllm_serve_command({"enforce_eager": True}, variant)
    toolchain = ensure(serve.toolchain, Settings())
    with serving(
        toolchain, serve, tree, log=folder / "log", on_line=lambda _line: None, ready_limit_s=300
    ) as running:
        yield running


def tokens(server: Server, **fields: Any) -> list[int]:
    named: list[int] = answer(server, **fields)["token_ids"]
    return named


def client_of(server: Server) -> AbstractAsyncContextManager[CompletionsClient]:
    """The client with which sides are asked."""
    asked = endpoint("vllm", server.base_url)
    serve = asked.side.serve.model_copy(update={"model": server.model})
    side = asked.side.model_copy(update={"serve": serve})
    return open_client(asked.model_copy(update={"side": side}), connections=1, request_limit_s=60)


def answer(server: Server, **fields: Any) -> dict[str, Any]:
    body = {"model": server.model, "prompt": PROMPT, "max_tokens": COUNT, "return_token_ids": True, **fields}
    request = urllib.request.Request(
        f"{server.base_url}/v1/completions",
        json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        choice: dict[str, Any] = json.load(response)["choices"][0]
    return choice


def test_the_checkpoints_own_penalties_and_sampling_take_no_part(server: Server) -> None:
    neutral = tokens(server, ignore_eos=True, **NEUTRAL)
    assert tokens(server, ignore_eos=True, temperature=0) == neutral
    assert tokens(server, ignore_eos=True, temperature=0, repetition_penalty=1.8) != neutral


def test_a_continuation_ends_at_every_token_that_the_request_names(server: Server) -> None:
    neutral = tokens(server, ignore_eos=True, **NEUTRAL)
    end = neutral[5]
    assert tokens(server, stop_token_ids=[end], **NEUTRAL) == neutral[: neutral.index(end) + 1]


def test_options_are_scored_as_vllm_scores_them_as_prompts(server: Server) -> None:
    """Forcing every token of an option gives the log-likelihood that `prompt_logprobs` gives it at once."""
    prompt, options = (5, 266, 300, 12, 45), ((266, 300, 77), (266, 301), (40,))

    async def scores() -> tuple[float, ...]:
        async with client_of(server) as client:
            return await score_options(client, prompt, options)

    at_once = []
    for option in options:
        read = answer(server, prompt=[*prompt, *option], max_tokens=1, prompt_logprobs=0)["prompt_logprobs"]
        scored = zip(read[len(prompt) :], option, strict=True)
        at_once.append(sum(entry[str(token)]["logprob"] for entry, token in scored))
    assert min(at_once) < -5, "an unlikely option is among them"
    assert asyncio.run(scores()) == pytest.approx(at_once, abs=0.1)


def test_a_question_of_a_chat_is_what_the_template_of_the_checkpoint_makes_of_it(server: Server) -> None:
    async def both() -> tuple[list[int], list[int]]:
        async with client_of(server) as client:
            written = await client.tokenize("[user]def f(x):[assistant]", special_tokens=False)
            return await client.tokenize_chat("def f(x):"), written

    asked, written = asyncio.run(both())
    assert asked == written
