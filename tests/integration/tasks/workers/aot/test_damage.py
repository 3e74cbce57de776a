"""Engines that are right for their first token and wrong after it: the real engine and its own server, damage
of the self-test between the two, the real reference, and the gates.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.engines.built import RunJob, variant
from support.judging.accuracy import measure_accuracy
from support.judging.judgements import resident

from artifacts.hosts import EngineManifest
from artifacts.settings import Settings
from engine_specs.spec import Shape, load_spec
from flows.demo.hub_repo import DEMO_HUB
from tasks.comparison import judging_protocol
from tasks.judging import AccuracyResult, Endpoint, JudgingProtocol, Side, vocabulary_of
from tasks.judging.decide import rejecting
from tasks.judging.gates.answers.regret import judge_regret
from tasks.kinds import kind_named, vllm_serve_command
from tasks.selftest.faults import ENGINE_DAMAGES, UNDAMAGED
from tasks.selftest.stack import damaged_command
from tasks.toolchains import ensure, serving
from tasks.workers.damaged_server.request import write_damage

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(900)]

DAMAGES = {one.name: one.damage for one in (UNDAMAGED, *ENGINE_DAMAGES)}
CHECKPOINT = DEMO_HUB / "enginery" / "demo-llama"
HELDOUT = DEMO_HUB / "datasets" / "enginery" / "demo-text" / "heldout.jsonl"
# Answers of 64 tokens, of which the last stand beyond slot 96 of the cache after most contexts.
SHAPE = Shape(max_batch_size=4, max_input_len=128, max_seq_len=192, max_num_tokens=512)
WORKLOAD = {"input_tokens": 110, "output_tokens": 64, "concurrency": (1, 4), "operating_point": 4}
MARGIN = 0.05
# A few more than show an engine without any regret to be within the margin. Fewer show one with a large
# regret to be beyond it; with too few the gate does not reject.
SAMPLES, FEWER = 140, 40
# What else is measured with accuracy is not what these engines fail by; the least of it.
ELSE = {"round_trip_texts": 1, "vocabulary_texts": 1, "streamed_texts": 2}
DIGITS = "0" * 64

VARIANT = variant("none").model_copy(update={"shape": SHAPE})

Measured = tuple[AccuracyResult, JudgingProtocol]
Measure = Callable[[str, int], Measured]


@pytest.fixture(scope="module")
def engine(job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine of the demo's checkpoint, which was trained: only then is some text likelier than other."""
    tree = tmp_path_factory.mktemp("demo") / "engine"
    plan = kind_named("aot-inductor").build_job(VARIANT)
    params = replace(plan.params, toolchains={"build": DIGITS})
    job(plan.worker, params, output=tree, checkpoint=CHECKPOINT)
    return tree


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """vLLM on the same checkpoint."""
    serve = vllm_serve_command({"enforce_eager": True}, VARIANT)
    side = Side(name="vllm", serve=serve, tree=DIGITS)
    log = tmp_path_factory.mktemp("reference") / "log"
    toolchain = ensure(serve.toolchain, Settings())
    with serving(
        toolchain, serve, CHECKPOINT, log=log, on_line=lambda _line: None, ready_limit_s=300
    ) as server:
        yield Endpoint(base_url=server.base_url, side=side)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the damage that the server does."""
    path = tmp_path_factory.mktemp("damage") / "damage.json"
    write_damage(path, UNDAMAGED.damage)
    return path


@pytest.fixture(scope="module")
def asked(engine: Path, planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The engine, served once for all damages."""
    serve = EngineManifest.model_validate_json((engine / "engine.json").read_text()).serve
    folder = tmp_path_factory.mktemp("engine")
    side = Side(name="engine", serve=damaged_command(serve, folder / "sources", planted), tree=DIGITS)
    log = folder / "log"
    toolchain = ensure(serve.toolchain, Settings())
    with serving(
        toolchain, side.serve, engine, log=log, on_line=lambda _line: None, ready_limit_s=120
    ) as server:
        yield Endpoint(base_url=server.base_url, side=side)


@pytest.fixture
def measure(asked: Endpoint, planted: Path, reference: Endpoint) -> Measure:
    """Measure the engine's accuracy with a damage."""

    def run(damage: str, samples: int) -> Measured:
        write_damage(planted, DAMAGES[damage])
        return accuracy_of(asked, reference, samples)

    return run


def accuracy_of(asked: Endpoint, reference: Endpoint, samples: int) -> Measured:
    """Measure one side by the protocol of the demo's spec, with longer prompts and answers."""
    spec = load_spec("demo")
    limits = {"samples": samples, "max_regret_nats_per_token": MARGIN, "length_samples": 10}
    gate = spec.validation.accuracy.model_copy(update=limits)
    changes = {
        "workload": spec.workload.model_copy(update=WORKLOAD),
        "validation": spec.validation.model_copy(update={"accuracy": gate}),
    }
    protocol = judging_protocol(
        spec.model_copy(update=changes),
        VARIANT,
        engine=asked.side,
        references=(reference.side,),
        vocabulary=vocabulary_of(json.loads((CHECKPOINT / "tokenizer.json").read_text())),
        end_tokens=(json.loads((CHECKPOINT / "config.json").read_text())["eos_token_id"],),
        text_sha256=DIGITS,
    )
    plan = protocol.accuracy.model_copy(update=ELSE)
    protocol = protocol.model_copy(update={"accuracy": plan})
    with HELDOUT.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines][: gate.samples]
    placement = resident([asked, reference])
    result = measure_accuracy(placement, asked.side, texts, protocol, say=lambda _line: None)
    return result, protocol


def test_the_reference_itself_passes_with_next_to_no_regret(reference: Endpoint) -> None:
    again = reference.side.model_copy(update={"name": "vllm again"})
    result, protocol = accuracy_of(Endpoint(base_url=reference.base_url, side=again), reference, SAMPLES)
    regret = judge_regret(result.samples, protocol.accuracy)
    assert regret.outcome == "pass", regret.reason
    # None at all where a processor rounds alike in both; what is left is the rounding of its matrix kernels.
    assert regret.regret_nats.estimate < 0.0005, regret.reason
    assert {len(sample.engine_tokens) for sample in result.samples} == {64}


def test_the_undamaged_engine_passes(measure: Measure) -> None:
    result, protocol = measure("undamaged", SAMPLES)
    regret = judge_regret(result.samples, protocol.accuracy)
    assert regret.outcome == "pass", regret.reason
    assert regret.regret_nats.estimate < 0.005, regret.reason
    assert rejecting(result, protocol) == ()


@pytest.mark.parametrize(
    ("damage", "samples"),
    [
        ("garbage-after-8", FEWER),
        ("positions-off-by-1", SAMPLES),
        ("decode-noise-2", FEWER),
        ("stale-cache-from-96", FEWER),
        ("rows-swapped", FEWER),
    ],
)
def test_an_engine_that_is_wrong_after_its_first_token_is_rejected(
    measure: Measure, damage: str, samples: int
) -> None:
    result, protocol = measure(damage, samples)
    regret = judge_regret(result.samples, protocol.accuracy)
    assert "regret" in rejecting(result, protocol), regret.reason
    firsts = [token for sample in result.samples for token in sample.departures if token.index == 0]
    assert sum(token.regret_nats for token in firsts) / len(result.samples) < 0.005, "the first is right"
