"""Stages against a real store: made once, reused, explained, and never half recorded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from artifacts.errors import IntegrityError
from artifacts.settings import Settings
from artifacts.store import Store, blob_key
from tasks.errors import CacheMissRefused
from tasks.runs import Hit, Made, Pipeline, StageCall, StageResult, build_document, look_up, run_stage
from tasks.runs.stage import Miss


def call(seed: int = 0) -> StageCall:
    document = build_document(stage="quantize", sources=[], toolchain="t" * 64, request={"seed": seed})
    return StageCall("quantize", "spec", "variant", document)


class Producer:
    """Writes one file, and counts how often it was asked."""

    def __init__(self, content: str = "weights") -> None:
        self.content = content
        self.runs = 0

    def __call__(self, output: Path, scratch: Path) -> Made:
        self.runs += 1
        (scratch / "aside").write_text("not part of the tree")
        (output / "weights.bin").write_text(self.content)
        return Made(metrics={"bytes": len(self.content)}, tools={"tool": "1"})


@pytest.fixture
def pipeline(settings: Settings, store: Store) -> Callable[..., Pipeline]:
    def make(**switches: bool) -> Pipeline:
        return Pipeline(settings, store, say=lambda _line: None, **switches)

    return make


def run(pipeline: Pipeline, producer: Producer, seed: int = 0) -> StageResult:
    return run_stage(pipeline, call(seed), producer)


def test_second_run_reuses_the_tree(pipeline: Callable[..., Pipeline]) -> None:
    producer = Producer()
    first, second = run(pipeline(), producer), run(pipeline(), producer)
    assert producer.runs == 1
    assert (first.reused, second.reused) == (False, True)
    assert first.tree == second.tree
    assert second.metrics == {"bytes": 7}
    assert first.reason == "never made before"


def test_a_miss_names_the_field_that_changed(pipeline: Callable[..., Pipeline], store: Store) -> None:
    run(pipeline(), Producer())
    found = look_up(store, call(seed=1))
    assert isinstance(found, Miss)
    assert found.reasons == ("request.seed: 0 -> 1",)


def test_a_miss_after_a_reuse_is_explained_by_the_reused_action(
    pipeline: Callable[..., Pipeline], store: Store
) -> None:
    producer = Producer()
    run(pipeline(), producer)
    run(pipeline(), producer, seed=1)
    run(pipeline(), producer)
    found = look_up(store, call(seed=2))
    assert isinstance(found, Miss)
    assert found.reasons == ("request.seed: 0 -> 2",)


def test_require_cached_refuses_to_run_and_says_why(pipeline: Callable[..., Pipeline]) -> None:
    producer = Producer()
    with pytest.raises(CacheMissRefused, match="never made before"):
        run(pipeline(require_cached=True), producer)
    assert producer.runs == 0
    run(pipeline(), producer)
    assert run(pipeline(require_cached=True), producer).reused


def test_a_lost_tree_is_made_and_recorded_again(
    pipeline: Callable[..., Pipeline], store: Store, remove: Callable[[str], None]
) -> None:
    first = run(pipeline(), Producer())
    remove(f"trees/sha256/{first.tree}")
    again = run(pipeline(), Producer("other weights"))
    assert "lost" in again.reason
    found = look_up(store, call())
    assert isinstance(found, Hit)
    assert found.action.tree == again.tree != first.tree


@pytest.mark.parametrize("harm", ["missing", "short"])
def test_a_tree_that_lost_a_blob_is_no_hit_and_is_made_whole_again(
    pipeline: Callable[..., Pipeline],
    store: Store,
    remove: Callable[[str], None],
    overwrite: Callable[[str, bytes], None],
    tmp_path: Path,
    harm: str,
) -> None:
    first = run(pipeline(), Producer())
    blob = blob_key(store.get_listing(first.tree).files[0].sha256)
    if harm == "missing":
        remove(blob)
    else:
        overwrite(blob, b"short")
    found = look_up(store, call())
    assert isinstance(found, Miss)
    said = "weights.bin is missing" if harm == "missing" else "weights.bin has 5 bytes instead of 7"
    assert found.reasons == (f"the store lost parts of tree {first.tree[:12]} of this action: {said}",)
    again = run(pipeline(), Producer())
    assert (again.reused, again.tree) == (False, first.tree)
    assert isinstance(look_up(store, call()), Hit)
    store.materialize(first.tree, tmp_path / "copy")


def test_a_rotten_blob_is_replaced_by_a_forced_run(
    pipeline: Callable[..., Pipeline],
    store: Store,
    elsewhere: Store,
    overwrite: Callable[[str, bytes], None],
    tmp_path: Path,
) -> None:
    first = run(pipeline(), Producer())
    overwrite(blob_key(store.get_listing(first.tree).files[0].sha256), b"WEIGHTS")
    with pytest.raises(IntegrityError, match=r"weights\.bin is damaged in the store") as caught:
        elsewhere.materialize(first.tree, tmp_path / "rotten")
    assert "--force" in caught.value.fix
    assert run(pipeline(force=True), Producer()).tree == first.tree
    elsewhere.materialize(first.tree, tmp_path / "copy")
    assert (tmp_path / "copy" / "weights.bin").read_text() == "weights"


@pytest.mark.parametrize("stands_there", [b"{", b"another"])
def test_an_action_that_is_damaged_or_anothers_is_no_hit_and_is_recorded_again(
    pipeline: Callable[..., Pipeline],
    store: Store,
    overwrite: Callable[[str, bytes], None],
    stands_there: bytes,
) -> None:
    run(pipeline(), Producer())
    other = run(pipeline(), Producer("other"), seed=1)
    if stands_there == b"another":
        stands_there = store.bucket.get(f"actions/quantize/{other.fingerprint}.json").body
    overwrite(f"actions/quantize/{call().fingerprint}.json", stands_there)
    found = look_up(store, call())
    assert isinstance(found, Miss)
    assert "the record of this action is damaged" in found.reasons[0]
    run(pipeline(), Producer())
    assert isinstance(look_up(store, call()), Hit)


def test_force_makes_it_again_and_replaces_the_action(
    pipeline: Callable[..., Pipeline], store: Store
) -> None:
    run(pipeline(), Producer())
    forced = run(pipeline(force=True), Producer("new weights"))
    assert not forced.reused
    found = look_up(store, call())
    assert isinstance(found, Hit)
    assert found.action.tree == forced.tree


def test_a_racing_loser_goes_on_with_the_winners_tree(pipeline: Callable[..., Pipeline]) -> None:
    inner = Producer("the winner's")

    def slow(output: Path, _scratch: Path) -> Made:
        run(pipeline(), inner)
        (output / "weights.bin").write_text("the loser's")
        return Made()

    loser = run_stage(pipeline(), call(), slow)
    assert loser.tree == run(pipeline(), inner).tree
    assert inner.runs == 1


def test_a_failing_producer_leaves_nothing(
    pipeline: Callable[..., Pipeline], store: Store, settings: Settings
) -> None:
    def fail(output: Path, _scratch: Path) -> Made:
        (output / "half").write_text("written")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run_stage(pipeline(), call(), fail)
    assert isinstance(look_up(store, call()), Miss)
    assert list((settings.home / "work").iterdir()) == []
