"""Merging and resolving: overrides win, defaults fill in, and merged values know where they were written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.specs.text import GOOD, edited

from engine_specs.reading import merged, origin
from engine_specs.spec import Spec, load_spec, read_spec, resolve_variants
from engine_specs.spec.variant import VariantBase
from engine_specs.tables import load_targets

KEYS = st.sampled_from("abc")
SCALARS = st.one_of(st.integers(0, 9), st.booleans(), st.tuples(st.integers(0, 3)))
TREES = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(SCALARS, inner), max_size=3),
    max_leaves=8,
)


def leaves(data: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(data, dict):
        return {at: data}
    return {loc: leaf for key, value in data.items() for loc, leaf in leaves(value, (*at, key)).items()}


def locations(data: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Every location, the empty mappings among them, and whether there is a mapping."""
    yield at, isinstance(data, dict)
    if isinstance(data, dict):
        for key, value in data.items():
            yield from locations(value, (*at, key))


def looked_up(data: Any, loc: tuple[str, ...]) -> Any:
    for part in loc:
        data = data[part]
    return data


@settings(deadline=None)
@given(TREES)
def test_nothing_over_defaults_is_the_defaults(tree: dict[str, Any]) -> None:
    assert merged(tree, {}) == tree
    assert merged({}, tree) == tree
    assert merged(tree, tree) == tree


@settings(deadline=None)
@given(TREES, TREES)
def test_every_leaf_of_an_override_wins_and_every_other_leaf_stays(
    defaults: dict[str, Any], overrides: dict[str, Any]
) -> None:
    result = leaves(merged(defaults, overrides))
    given_leaves = leaves(overrides)
    assert given_leaves.items() <= result.items()
    assert result.items() <= (leaves(defaults) | given_leaves).items()


@settings(deadline=None)
@example({"c": {"a": {}}}, {"c": 0}, {"c": {}})
@given(TREES, TREES, TREES)
def test_merging_is_associative_where_mappings_meet_mappings(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    kinds: dict[tuple[str, ...], set[bool]] = {}
    for tree in (a, b, c):
        for loc, is_mapping in locations(tree):
            kinds.setdefault(loc, set()).add(is_mapping)
    if all(len(found) == 1 for found in kinds.values()):
        assert merged(merged(a, b), c) == merged(a, merged(b, c))


@settings(deadline=None)
@given(TREES, TREES)
def test_every_merged_leaf_is_found_where_it_was_written(
    defaults: dict[str, Any], overrides: dict[str, Any]
) -> None:
    for loc, leaf in leaves(merged(defaults, overrides)).items():
        place = origin(loc, 3, defaults, overrides)
        source, rest = (defaults, place[1:]) if place[0] == "defaults" else (overrides, place[2:])
        assert looked_up(source, rest) == leaf  # type: ignore[arg-type]


def test_null_takes_a_default_back_and_lists_are_replaced() -> None:
    defaults = {"a": {"x": 1, "y": 2}, "b": (1, 2)}
    assert merged(defaults, {"a": {"x": None}, "b": (3,)}) == {"a": {"y": 2}, "b": (3,)}
    assert merged(defaults, {"a": None}) == {"b": (1, 2)}
    assert defaults == {"a": {"x": 1, "y": 2}, "b": (1, 2)}


def test_variants_resolve_whole_in_their_order(spec: Spec) -> None:
    first, second = resolve_variants(spec)
    assert (first.name, first.target, first.required) == ("first", load_targets()["cpu-x86-64-v3"], True)
    assert (second.name, second.target.name, second.required) == ("second", "cpu-x86-64-v4", False)
    assert first.shape.model_dump() == {
        "max_batch_size": 4,
        "max_input_len": 192,
        "max_seq_len": 256,
        "max_num_tokens": 1024,
    }
    assert second.shape == first.shape.model_copy(update={"max_batch_size": 2})
    assert (first.engine.kind, first.quantization.kv_cache, first.devices) == ("aot-inductor", "none", 1)


def test_no_setting_of_a_resolved_variant_is_left_open(spec: Spec) -> None:
    for variant in resolve_variants(spec):
        settings = variant.model_dump(include=set(VariantBase.model_fields))
        open_settings = {loc for loc, leaf in leaves(settings).items() if leaf is None}
        assert open_settings == {("quantization", part) for part in ("calibration", "file", "search")}


@settings(deadline=None)
@given(
    required=st.booleans(),
    batch=st.integers(2, 64),
    input_len=st.integers(64, 400),
    room=st.integers(33, 200),
    recipe=st.sampled_from(["none", "int8_weight_only"]),
)
def test_an_override_reaches_exactly_its_own_variant(
    required: bool, batch: int, input_len: int, room: int, recipe: str
) -> None:
    override = f"""\
    required: {str(required).lower()}
    quantization: {{recipe: {recipe}}}
    shape:
      max_batch_size: {batch}
      max_input_len: {input_len}
      max_seq_len: {input_len + room}
"""
    text = GOOD.replace("    required: false\n    shape:\n      max_batch_size: 2\n", override)
    first, second = resolve_variants(read_spec(text, Path("tiny.yaml")))
    assert first == resolve_variants(read_spec(GOOD, Path("tiny.yaml")))[0]
    assert second.required is required
    assert second.quantization.recipe == recipe
    assert second.shape.model_dump() == {
        "max_batch_size": batch,
        "max_input_len": input_len,
        "max_seq_len": input_len + room,
        "max_num_tokens": 1024,
    }


def test_an_override_may_complete_a_default() -> None:
    text = edited(
        ("    max_seq_len: 256\n", ""),
        ("cpu-x86-64-v3", "cpu-x86-64-v3\n    shape: {max_seq_len: 300}"),
        ("max_batch_size: 2", "max_batch_size: 2\n      max_seq_len: 400"),
    )
    variants = resolve_variants(read_spec(text, Path("tiny.yaml")))
    assert [variant.shape.max_seq_len for variant in variants] == [300, 400]


CALIBRATION = "calibration: {path: texts.jsonl, samples: 8, sequence_length: 64}"


@pytest.mark.parametrize(("recipe", "kept"), [("int8_weight_only", False), ("none", False), ("fp8", True)])
def test_calibration_counts_only_for_recipes_that_read_it(
    generous_kind: str, recipe: str, kept: bool
) -> None:
    text = edited(("aot-inductor", generous_kind), ("int8_weight_only", f"{recipe}\n    {CALIBRATION}"))
    calibration = resolve_variants(read_spec(text, Path("tiny.yaml")))[0].quantization.calibration
    assert (calibration is not None) is kept
    if calibration is not None:
        assert (calibration.path, calibration.samples, calibration.text_field) == ("texts.jsonl", 8, "text")


def test_identity_is_content_not_place(tmp_path: Path) -> None:
    specs = []
    for folder in ("here", "there"):
        path = tmp_path / folder / "tiny.yaml"
        path.parent.mkdir()
        path.write_text(GOOD)
        specs.append(load_spec(path))
    here, there = specs
    assert here.model_dump(mode="json") == there.model_dump(mode="json")
    assert str(tmp_path) not in here.model_dump_json()
    assert [one.path for one in (here, there)] == [
        tmp_path / name / "tiny.yaml" for name in ("here", "there")
    ]


def test_a_spec_made_in_memory_has_no_path(spec: Spec) -> None:
    copy = Spec.model_validate_json(spec.model_dump_json(exclude_unset=True))
    assert copy.path is None


def test_a_spec_survives_a_round_trip_through_json(spec: Spec) -> None:
    copy = Spec.model_validate_json(spec.model_dump_json(exclude_unset=True))
    assert copy.model_dump() == spec.model_dump()
    assert resolve_variants(copy) == resolve_variants(spec)


def test_lists_are_taken_where_tuples_are_declared(spec: Spec) -> None:
    data = spec.model_dump(mode="json", exclude_unset=True)
    assert isinstance(data["variants"], list)
    assert Spec.model_validate(data).model_dump() == spec.model_dump()


@pytest.mark.parametrize(
    "change", [lambda s: setattr(s, "name", "x"), lambda s: setattr(s.workload, "input_tokens", 1)]
)
def test_specs_are_frozen(spec: Spec, change: Callable[[Spec], None]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        change(spec)
