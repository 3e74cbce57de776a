"""vLLM itself, on a checkpoint that asks for penalties and names several ends."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from support.paths import ROOT

from artifacts.settings import Settings
from engine_specs.spec import load_spec, resolve_variants
from tasks.judging.measure.completions.client import NEUTRAL
from tasks.kinds import vllm_serve_command
from tasks.toolchains import Server, ensure, serving

pytestmark = pytest.mark.toolchain

CHECKPOINT = ROOT / "flows" / "demo" / "hub" / "enginery" / "demo-llama"
# A prompt that makes the model repeat itself, as penalties forbid.
PROMPT = "def read_lines(path):\n    return path.read_text()\n\n\ndef read_lines"
COUNT = 24


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("vllm")
    tree = folder / "checkpoint"
    shutil.copytree(CHECKPOINT, tree)
    path = tree / "generation_config.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    sampled = {"do_sample": True, "temperature": 0.9, "repetition_penalty": 1.8}
    path.write_text(json.dumps(kept | sampled))
    (variant,) = resolve_variants(load_spec("demo"))
    serve = vllm_serve_command({"enforce_eager": True}, variant)
    toolchain = ensure(serve.toolchain, Settings())
    with serving(
        toolchain, serve, tree, log=folder / "log", on_line=lambda _line: None, ready_limit_s=300
    ) as running:
        yield running


def tokens(server: Server, **fields: Any) -> list[int]:
    body = {"model": server.model, "prompt": PROMPT, "max_tokens": COUNT, "return_token_ids": True, **fields}
    request = urllib.request.Request(
        f"{server.base_url}/v1/completions",
        json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        named: list[int] = json.load(response)["choices"][0]["token_ids"]
    return named


def test_the_checkpoints_own_penalties_and_sampling_take_no_part(server: Server) -> None:
    neutral = tokens(server, ignore_eos=True, **NEUTRAL)
    assert tokens(server, ignore_eos=True, temperature=0) == neutral
    assert tokens(server, ignore_eos=True, temperature=0, repetition_penalty=1.8) != neutral


def test_a_continuation_ends_at_every_token_that_the_request_names(server: Server) -> None:
    neutral = tokens(server, ignore_eos=True, **NEUTRAL)
    end = neutral[5]
    assert tokens(server, stop_token_ids=[end], **NEUTRAL) == neutral[: neutral.index(end) + 1]
