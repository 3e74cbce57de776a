"""Every damage and cheat of the list, planted on the real completions server with a fast model behind it, and
judged as any engine is; each is found by a gate that the list names.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.judging.fake_completions import SHIFT, Behaviour, fake_server
from support.judging.judgements import endpoint, protocol, resident, workload
from support.judging.measured_fakes import ignore
from support.selftest.served import ToyServer, toy_server
from support.selftest.toy import ToyReference, next_token

from tasks.judging import JudgingProtocol, Placement
from tasks.selftest.planted import PLANTED, Planted
from tasks.selftest.trial import Questions, Trial, try_planted

WORDS = "the grass is green and the sky is blue over hills that nobody has ever seen from here".split()
# Contexts end before and behind token 96, and answers behind position 128.
ENDS = (SHIFT + ord("q"), SHIFT + ord("z"))
TRIES = {"few": 40, "many": 60, "all": 60}
LIVE_IDS = {"ids-swapped": (SHIFT + ord("~"), SHIFT + ord("^"))}

Try = Callable[[Planted, int], Trial]


def texts() -> list[str]:
    source = random.Random(7)
    return [" ".join(source.choices(WORDS, k=40)) for _ in range(max(TRIES.values()))]


def asked(texts: int, seed: int) -> JudgingProtocol:
    load = workload(output_tokens=16, concurrency=(2,), operating_point=2)
    base = protocol(samples=texts, margin=0.1, resolution=500.0, budget_minutes=0.001, load=load, seed=seed)
    plan = base.accuracy.model_copy(
        update={
            "min_context_tokens": 60,
            "max_context_tokens": 140,
            "continuation_tokens": 40,
            "length_max_tokens": 64,
            "end_tokens": ENDS,
            "in_flight": (2, 4),
        }
    )
    return base.model_copy(update={"accuracy": plan})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyServer]:
    with toy_server(tmp_path_factory.mktemp("toy")) as running:
        yield running


@pytest.fixture(scope="module")
def placement(server: ToyServer) -> Iterator[Placement]:
    with fake_server(Behaviour(next_token=next_token), ToyReference) as reference:
        yield resident([endpoint("engine", server.proxy.base_url), endpoint("vllm", reference.base_url)])


@pytest.fixture(scope="module")
def try_it(server: ToyServer, placement: Placement) -> Try:
    """Plant, measure and judge; the reference answers once for all."""
    known: dict[tuple[int, int], Questions] = {}
    held_out = texts()

    def run(planted: Planted, seed: int = 1) -> Trial:
        count = TRIES[planted.texts]
        rules = asked(count, seed)
        server.plant(planted, spared=rules.accuracy.streamed_texts)
        questions = known.setdefault((count, seed), Questions())
        return try_planted(planted, placement, held_out, rules, questions=questions, say=ignore)

    return run


def of_toy(planted: Planted) -> Planted:
    """The entry, with ids that are rare in these texts."""
    ids = LIVE_IDS.get(planted.name, planted.damage.ids)
    return replace(planted, damage=replace(planted.damage, ids=ids))


@pytest.mark.parametrize("planted", PLANTED, ids=lambda one: one.name)
def test_what_is_planted_is_found_and_nothing_else(try_it: Try, planted: Planted) -> None:
    trial = try_it(of_toy(planted), 1)
    print(trial.outcome, trial.gate, trial.reason)
    match planted.expected:
        case "harmless":
            assert (trial.outcome, trial.gate) == ("passed", ""), trial.reason
        case "found":
            assert trial.was_found, trial.reason
            assert trial.gate in planted.gates
