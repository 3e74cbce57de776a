"""The judging protocol as it is made from trees in the store, and from the host that measures."""

import json
from hashlib import sha256
from pathlib import Path
from typing import get_args

import pytest
from support.engines.stand_ins import put_engine
from support.judging.cases import measured_unasked
from support.judging.judgements import protocol
from support.judging.tasks import choosing

from artifacts.hosts import HostFacts
from artifacts.settings import QuietHost
from artifacts.store import Store, new_measurement
from engine_specs.spec import load_spec, resolve_variants
from tasks.comparison.sides import seed_of
from tasks.errors import TokenizerForeign
from tasks.hub import REPORT_FILE, TextsReport
from tasks.judging import JudgingProtocol
from tasks.stages import measure

SPEC = load_spec("demo")
(VARIANT,) = resolve_variants(SPEC)
TOKENIZER = {
    "model": {"vocab": {"a": 0, "b": 1, "</s>": 2}},
    "added_tokens": [{"id": 2, "content": "</s>", "special": True}],
}
CHECKPOINT = {
    "tokenizer.json": TOKENIZER,
    "config.json": {"eos_token_id": 1},
    "generation_config.json": {"eos_token_id": [7]},
    "tokenizer_config.json": {"eos_token": "</s>"},
}

REPORT = TextsReport(
    identity={"sha256": "e" * 64},
    split=None,
    files=("texts.jsonl",),
    rows=1,
    seed=0,
    sample_ids=("0",),
    sample_digest="d" * 64,
)


def put(store: Store, directory: Path, files: dict[str, dict[str, object]]) -> str:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content))
    return store.put_tree(directory).digest


@pytest.fixture
def trees(store: Store, tmp_path: Path) -> dict[str, str]:
    return {
        "engine": put_engine(
            store,
            tmp_path / "engine",
            stand_in=False,
            tokenizer_sha256=sha256(json.dumps(TOKENIZER).encode()).hexdigest(),
        ),
        "checkpoint": put(store, tmp_path / "checkpoint", dict(CHECKPOINT)),
        "weights": "3" * 64,
        "heldout": put(store, tmp_path / "heldout", {REPORT_FILE: REPORT.model_dump(mode="json")}),
    }


def protocol_on(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str], *features: str
) -> JudgingProtocol:
    """The protocol on a processor with these features."""
    facts = HostFacts(machine="x86_64", cpu_features=features)
    monkeypatch.setattr(measure, "probe_host", lambda: facts)
    return measure.protocol_for(store, SPEC, VARIANT, **trees)


def test_an_engine_with_another_tokenizer_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str], tmp_path: Path
) -> None:
    changed = CHECKPOINT | {"tokenizer.json": TOKENIZER | {"truncation": {"max_length": 8}}}
    other = put(store, tmp_path / "other", changed)
    with pytest.raises(TokenizerForeign, match=r"another tokenizer\.json than the checkpoint's"):
        protocol_on(monkeypatch, store, trees | {"checkpoint": other})


@pytest.mark.parametrize(
    "cut", [{"truncation": {"max_length": 8}}, {"pre_tokenizer": {"type": "Whitespace"}}]
)
def test_a_ready_made_engine_may_write_the_same_tokenizer_with_other_bytes(
    store: Store, tmp_path: Path, trees: dict[str, str], cut: dict[str, object]
) -> None:
    content = {"tokenizer.json": TOKENIZER | cut}
    engine = put(store, tmp_path / "ready-made", content)
    manifest = measure.engine_manifest(store, trees["engine"]).model_copy(
        update={"tokenizer_sha256": sha256(json.dumps(content["tokenizer.json"]).encode()).hexdigest()}
    )
    with pytest.raises(TokenizerForeign):
        measure.require_tokenizer(store, manifest, trees["checkpoint"])
    if "truncation" in cut:
        measure.require_tokenizer(store, manifest, trees["checkpoint"], engine)
    else:
        with pytest.raises(TokenizerForeign):
            measure.require_tokenizer(store, manifest, trees["checkpoint"], engine)


def test_prompts_differ_between_specs_and_versions(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str]
) -> None:
    made = protocol_on(monkeypatch, store, trees)
    assert made.seed == protocol_on(monkeypatch, store, trees).seed
    seeds = {seed_of(SPEC.model_copy(update=change)) for change in ({}, {"version": "0.2"}, {"name": "x"})}
    assert len(seeds) == 3
    assert made.seed in seeds


def test_the_host_that_measures_decides_whether_float32_is_a_reference(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str]
) -> None:
    with_it = protocol_on(monkeypatch, store, trees, "avx2", "avx512_bf16")
    without = protocol_on(monkeypatch, store, trees, "avx2")
    assert [side.name for side in with_it.references] == ["vllm"]
    assert [side.name for side in without.references] == ["vllm", "vllm dtype=float32"]
    assert "--dtype" in without.references[1].serve.argv


def test_a_continuation_ends_where_any_file_of_the_checkpoint_says(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str]
) -> None:
    declared = SPEC.validation.accuracy.stop_token_ids
    assert declared
    ends = protocol_on(monkeypatch, store, trees, "avx2").accuracy.end_tokens
    assert ends == (1, 2, 7, *declared)


def test_a_placement_that_is_forced_has_measurements_of_its_own(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str]
) -> None:
    protocol = protocol_on(monkeypatch, store, trees, "avx2")
    keys = {
        name: measure._call(protocol, {}, name, "require").key
        for name in (None, "together", "shared", "in-turn")
    }
    assert len(set(keys.values())) == 4
    again = measure._call(protocol, {}, None, "require")
    assert keys[None] == again.key, "one that is chosen is found again"


@pytest.mark.parametrize("variants", [1, 6])
def test_a_measurement_that_needed_no_engine_in_open_loop_says_what_it_lacks(variants: int) -> None:
    """With six variants it is not shown that vLLM misses the objective, with one it is."""
    asked = protocol(variants=variants)
    made = measured_unasked(asked, reference_late=4).model_dump(mode="json")
    kept = new_measurement("judged", {}, made, conclusive=True, device_s=1.0)
    lack = measure._call(asked, {}, None, "require").lacks(kept)
    assert bool(lack) is (variants == 1)
    assert "the engine in open loop" in lack or variants == 6


def test_questions_of_tasks_are_part_of_the_protocol(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str], tmp_path: Path
) -> None:
    plain = protocol_on(monkeypatch, store, trees)
    task = choosing()
    validation = SPEC.validation.model_copy(update={"tasks": (task,)})
    monkeypatch.setitem(globals(), "SPEC", SPEC.model_copy(update={"validation": validation}))
    made = []
    for digest in ("f" * 64, "9" * 64):
        report = REPORT.model_copy(update={"sample_digest": digest})
        fruit = put(store, tmp_path / digest, {REPORT_FILE: report.model_dump(mode="json")})
        made.append(protocol_on(monkeypatch, store, trees | {"task-fruit": fruit}))
    ((plan,), (other,)) = (one.tasks for one in made)
    assert (plan.task, plan.items_sha256, other.items_sha256) == (task, "f" * 64, "9" * 64)
    assert (plan.max_prompt_tokens, plan.max_tokens, plan.in_flight) == (192, 256, 2)
    assert plan.end_tokens == (1, 2, 7)
    assert len({plain.digest, *(one.digest for one in made)}) == 3


def test_what_was_measured_on_any_host_is_not_used_where_it_has_to_be_quiet(
    monkeypatch: pytest.MonkeyPatch, store: Store, trees: dict[str, str]
) -> None:
    protocol = protocol_on(monkeypatch, store, trees, "avx2")
    keys = {measure._call(protocol, {}, None, quiet).key for quiet in get_args(QuietHost)}
    assert len(keys) == 2
