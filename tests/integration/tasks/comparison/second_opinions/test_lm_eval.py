"""lm-evaluation-harness itself, on a stand-in whose answers are known: it finds what our own scores say."""

import json
from pathlib import Path

import pytest
from support.judging.fake_completions import SHIFT, Behaviour, fake_server
from support.judging.judgements import endpoint, resident
from support.judging.measured_fakes import TEXTS, ignore
from support.judging.tasks import OPTIONS, asking, choices, choosing, number_in, sums, text_of, writing

from artifacts.settings import Settings
from artifacts.store import open_store
from tasks.comparison.second_opinions.lm_eval import ask_lm_eval
from tasks.judging import NoOpinion, Opinion
from tasks.judging.measure.accuracy import AccuracyPhases
from tasks.runs import Pipeline

pytestmark = pytest.mark.toolchain


def byte_letters() -> dict[str, int]:
    """Letters of byte-level tokenizers, with the ids of stand-ins."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return {letter: byte + SHIFT for byte, letter in letters.items()}


TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "BPE", "vocab": byte_letters(), "merges": []},
    "pre_tokenizer": {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    },
    "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    # What is kept from training must not cut prompts.
    "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
}


def model() -> Behaviour:
    """It is wrong about every fourth fruit and every fifth sum."""

    def logprob_of(prompt: tuple[int, ...], token: int) -> float:
        number = number_in(prompt)
        liked = OPTIONS[(number + (number % 4 == 0)) % 3]
        return -1.5 if f" {liked}".startswith(text_of((*prompt, token)).partition(":")[2]) else -4.0

    def writes(prompt: tuple[int, ...]) -> str | None:
        given, plus, _ = text_of(prompt).partition(" + 1 =")
        return f" So {int(given) + 1 + (int(given) % 5 == 0)}. More" if plus else None

    return Behaviour(logprob_of=logprob_of, writes=writes)  # type: ignore[arg-type]


def test_it_finds_the_scores_that_we_find(settings: Settings, tmp_path: Path) -> None:
    by_bytes = choosing(name="fruit-by-bytes", length_normalization="bytes", second_opinion=True)
    tasks = (
        choosing(second_opinion=True),
        by_bytes,
        writing(extract="So ([0-9]+)", stop=(". More",), max_tokens=20, second_opinion=True),
        writing(name="alone"),
    )
    asked = asking(*tasks)
    items = {"fruit": choices(20), "fruit-by-bytes": choices(20), "sums": sums(20), "alone": sums(20)}
    pipeline = Pipeline(settings, open_store(settings), say=ignore)
    with fake_server(model()) as server:
        side = endpoint("engine", server.base_url)
        phases = AccuracyPhases(resident([side, endpoint("vllm", server.base_url)]), asked, say=ignore)
        questions = phases.questions(TEXTS, items)
        (result,) = phases.scores(questions, [phases.answers(side.side, questions)]).results
        before, tokenizer = len(server.requests), json.dumps(TOKENIZER).encode()
        opinion = ask_lm_eval(pipeline, asked, items, tokenizer, "test", resident([side]), side.side)
        own = server.requests[before:]
    ours = {task.task: sum(right for right, _ in task.pairs) / 20 for task in result.tasks}
    assert isinstance(opinion, Opinion), opinion
    assert opinion.right == {name: share for name, share in ours.items() if name != "alone"}
    assert (ours["fruit"], ours["sums"]) == (0.75, 0.8)
    assert opinion.tool.startswith("lm-eval 0.4.")
    assert all(one["temperature"] == 0 for one in own)


def test_a_tool_that_fails_is_a_reason_that_names_its_log(settings: Settings) -> None:
    asked = asking(choosing(second_opinion=True))
    pipeline = Pipeline(settings, open_store(settings), say=ignore)
    with fake_server(model()) as server:
        side = endpoint("engine", server.base_url)
        tokenizer = b"not a tokenizer"
        found = ask_lm_eval(
            pipeline, asked, {"fruit": choices(3)}, tokenizer, "test", resident([side]), side.side
        )
    assert isinstance(found, NoOpinion)
    assert "tasks.workers.lm_eval.score (toolchain lm-eval)" in found.reason
    assert "not a tokenizer" not in found.reason
    assert found.log == "test-engine-lm-eval.log"
    assert "Traceback" in (settings.home / "logs" / found.log).read_text()
