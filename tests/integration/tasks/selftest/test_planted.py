"""Every damage and cheat of the list, planted on the real completions server with a fast model behind it, and
judged as any engine is; each is found by a gate that the list names.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.judging.fake_completions import SHIFT, Behaviour, FakeServer, fake_server
from support.judging.judgements import endpoint, protocol, resident, workload
from support.judging.measured_fakes import ignore
from support.judging.toy_model import ToyReference, next_token
from support.judging.toy_server import ToyServer, toy_server

from engine_specs.spec import Slo
from tasks.judging import JudgingProtocol
from tasks.selftest.alterations import Burst
from tasks.selftest.faults import PLANTED, Planted
from tasks.selftest.trial import Questions, Trial, try_planted
from tasks.workers.damaged_server.request import Damage

WORDS = ["grass", "green", "the", "sky", "is", "blue", "over", "hills", "nobody", "has", "ever", "seen"]
ENDS = (SHIFT + ord("q"), SHIFT + ord("z"))
COUNTS = {"few": 40, "many": 60, "all": 80}
PATIENT, IMPATIENT = 60_000, 250
# What stands for an entry's own numbers: an id that these texts hardly have; a rate that few texts show.
OF_TOY: dict[str, dict[str, Any]] = {
    "ids-swapped": {"damage": Damage("swapped-ids", ids=(SHIFT + ord("~"), SHIFT + ord("^")))},
    "one-request-in-200": {"damage": Damage("garbage", one_in=20)},
    "one-request-in-1000": {"damage": Damage("garbage", one_in=100)},
    # How many prompts meet in an iteration of so fast an engine is up to the host: hardly ever four.
    "prompts-swapped": {"damage": Damage("swapped-prompts", together=2)},
    "silence-then-burst": {"alteration": Burst(seconds=0.35)},
}

Try = Callable[..., Trial]


def held_out() -> list[str]:
    source = random.Random(7)
    return [" ".join(source.choices(WORDS, k=40)) for _ in range(max(COUNTS.values()))]


def asked(texts: int, itl_p99_ms: float) -> JudgingProtocol:
    """Contexts that end before and behind token 96, and answers that go beyond position 128."""
    slo = Slo(ttft_p99_ms=PATIENT, itl_p99_ms=itl_p99_ms)
    load = workload(output_tokens=16, concurrency=(2,), operating_point=2, slo=slo)
    base = protocol(
        samples=texts, max_gross_error_share=0.06, resolution=500.0, budget_minutes=0.001, load=load
    )
    lengths = {"min_length_ratio": 0.5, "max_length_ratio": 2.0}
    places = {"min_context_tokens": 60, "max_context_tokens": 140, "continuation_tokens": 40}
    changes = {
        "gate": base.accuracy.gate.model_copy(update=lengths),
        "windows": (base.accuracy.windows[0].model_copy(update=places),),
        "context_limit": 181,
        "answer_tokens": 40,
        "length_max_tokens": 64,
        "end_tokens": ENDS,
        # Twice as many as the engine has rows: then as many prompts wait as it can read at once.
        "in_flight": (2, 8),
    }
    return base.model_copy(update={"accuracy": base.accuracy.model_copy(update=changes)})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyServer]:
    with toy_server(tmp_path_factory.mktemp("toy")) as running:
        yield running


@pytest.fixture(scope="module")
def reference() -> Iterator[FakeServer]:
    with fake_server(Behaviour(next_token=next_token), ToyReference) as running:
        yield running


@pytest.fixture(scope="module")
def try_it(server: ToyServer, reference: FakeServer) -> Try:
    """Plant, measure and judge; the reference answers the same questions once for all."""
    known: dict[str, Questions] = {}
    texts = held_out()

    def run(planted: Planted, engine_url: str = server.proxy.base_url) -> Trial:
        patience = IMPATIENT if "slo" in planted.gates else PATIENT
        rules = asked(COUNTS[planted.texts], patience)
        server.plant(planted, spared=rules.accuracy.streamed_texts)
        up = resident([endpoint("engine", engine_url), endpoint("vllm", reference.base_url)])
        questions = known.setdefault(rules.digest, Questions())
        return try_planted(planted, up, texts, rules, questions=questions, say=ignore)

    return run


@pytest.mark.parametrize(
    "planted", [one for one in PLANTED if one.served == "engine"], ids=lambda one: one.name
)
def test_what_is_planted_is_found_and_nothing_else(try_it: Try, planted: Planted) -> None:
    trial = try_it(replace(planted, **OF_TOY.get(planted.name, {})))
    match planted.expected:
        case "harmless":
            assert (trial.outcome, trial.gates) == ("passed", ()), trial.reason
        case "found":
            assert trial.was_found, trial.reason
            assert {*trial.gates} & {*planted.gates}, trial.reason
        case "within-limits":
            assert not trial.was_found, f"the list says that no gate finds it: {planted.note}"


def test_the_reference_against_itself_has_no_regret_at_all(try_it: Try, reference: FakeServer) -> None:
    (itself,) = [one for one in PLANTED if one.served == "vllm"]
    trial = try_it(itself, reference.base_url)
    assert trial.outcome == "passed", trial.reason
