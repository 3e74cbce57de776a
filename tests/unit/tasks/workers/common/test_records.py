"""Records travel as JSON and come back equal, or are refused by the name of what is wrong."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.workers.common.records import InvalidRecord, as_json, read_record


@dataclass(frozen=True)
class Inner:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outer:
    device: Literal["cpu", "cuda"]
    share: float
    rows: int
    on: bool
    folder: Path
    inner: Inner
    several: tuple[Inner, ...]
    by_name: dict[str, int | None]
    absent: Inner | None
    mixed: str | int
    options: dict[str, Any]
    declared: bool = False
    labels: dict[str, str] = field(default_factory=dict)


names = st.text(max_size=6)
inners = st.builds(Inner, name=names, sizes=st.lists(st.integers(), max_size=3).map(tuple))
outers = st.builds(
    Outer,
    device=st.sampled_from(["cpu", "cuda"]),
    share=st.floats(allow_nan=False, allow_infinity=False),
    rows=st.integers(),
    on=st.booleans(),
    folder=st.just(Path("/a/b")),
    inner=inners,
    several=st.lists(inners, max_size=2).map(tuple),
    by_name=st.dictionaries(names, st.none() | st.integers(), max_size=2),
    absent=st.none() | inners,
    mixed=names | st.integers(),
    options=st.dictionaries(names, st.none() | st.booleans() | st.lists(st.integers()), max_size=2),
    declared=st.booleans(),
    labels=st.dictionaries(names, names, max_size=1),
)
GOOD: dict[str, Any] = {
    "device": "cpu", "share": 0.5, "rows": 3, "on": True, "folder": "/a", "inner": {"name": "n"},
    "several": [{"name": "m", "sizes": [1]}], "by_name": {"x": 1}, "absent": None, "mixed": "m",
    "options": {},
}  # fmt: skip


@given(outers)
def test_what_is_written_is_read_as_an_equal_record(record: Outer) -> None:
    assert read_record(Outer, json.loads(json.dumps(as_json(record)))) == record


def test_a_field_at_its_default_is_left_out() -> None:
    record = read_record(Outer, GOOD)
    assert (record.declared, record.labels, record.inner.sizes) == (False, {}, ())
    assert as_json(record) == GOOD
    assert as_json(Inner("n", (1,))) == {"name": "n", "sizes": [1]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"devise": "cpu"}, "request.devise: unknown key"),
        ({"inner": {"name": "n", "size": 1}}, "request.inner.size: unknown key"),
        ({"several": [{"name": "a"}, {}]}, r"request.several\[1\].name: missing key"),
        ({"device": "tpu"}, "request.device: expected 'cpu' or 'cuda', found 'tpu'"),
        ({"rows": True}, "request.rows: expected int"),
        ({"rows": 1.0}, "request.rows: expected int"),
        ({"rows": "3"}, "request.rows: expected int"),
        ({"share": "0.5"}, "request.share: expected float"),
        ({"share": float("nan")}, "request.share: expected a finite number"),
        ({"on": 1}, "request.on: expected bool"),
        ({"folder": 1}, "request.folder: expected a path"),
        ({"several": {"name": "a"}}, "request.several: expected a list"),
        ({"by_name": {"x": "1"}}, "request.by_name.x: expected int"),
        ({"by_name": []}, "request.by_name: expected a mapping"),
        ({"absent": "x"}, "request.absent: expected a mapping for Inner"),
        ({"mixed": None}, "request.mixed: expected str or int"),
        ({"inner": None}, "request.inner: expected a mapping for Inner"),
    ],
)
def test_what_is_not_the_record_is_refused_by_its_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRecord, match=said):
        read_record(Outer, GOOD | change, "request")


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_missing_key_is_named(key: str) -> None:
    document = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(InvalidRecord, match=f"^{key}: missing key$"):
        read_record(Outer, document)


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_only_a_mapping_is_a_record(document: object) -> None:
    with pytest.raises(InvalidRecord, match="record: expected a mapping for Outer"):
        read_record(Outer, document)
