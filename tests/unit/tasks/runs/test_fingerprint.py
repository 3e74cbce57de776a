"""Fingerprints: equal for equal work wherever it is done, different for anything that changes the result."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from artifacts import canonical
from tasks.runs import build_document, source_of
from tasks.runs.fingerprint import explain_difference, fingerprint_of, sources_digest
from tasks.workers.common.sources import Source

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_a_changed_file_changes_the_digest_and_their_order_does_not() -> None:
    one, other = Source("tasks/workers/a/x.py", b"1"), Source("tasks/workers/b/x.py", b"2")
    assert sources_digest([one, other]) == sources_digest([other, one])
    assert sources_digest([one, other]) != sources_digest([one, replace(other, content=b"3")])


def test_files_of_one_name_in_two_folders_are_not_exchanged() -> None:
    first = [Source("tasks/workers/a/x.py", b"1"), Source("tasks/workers/b/x.py", b"2")]
    second = [Source("tasks/workers/a/x.py", b"2"), Source("tasks/workers/b/x.py", b"1")]
    assert sources_digest(first) != sources_digest(second)


def test_a_module_of_this_process_is_named_by_its_place() -> None:
    source = source_of(canonical)
    assert source.name == "artifacts/canonical.py"
    assert source.content == Path(canonical.__file__).read_bytes()


@given(request=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_key_order_does_not_matter(request: dict[str, object]) -> None:
    backwards = dict(reversed(request.items()))
    documents = [
        build_document(stage="s", sources=[], toolchain=None, request=r) for r in (request, backwards)
    ]
    assert fingerprint_of(documents[0]) == fingerprint_of(documents[1])


@given(
    before=st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    after=st.dictionaries(st.text(max_size=5), JSON, max_size=4),
)
def test_a_different_fingerprint_is_always_explained(
    before: dict[str, object], after: dict[str, object]
) -> None:
    old, new = (build_document(stage="s", sources=[], toolchain=None, request=r) for r in (before, after))
    if fingerprint_of(old) != fingerprint_of(new):
        assert explain_difference(old, new)
    else:
        assert explain_difference(old, new) == ()


def test_explanation_names_field_and_values() -> None:
    old = build_document(stage="quantize", sources=[], toolchain="a" * 64, request={"params": {"seed": 0}})
    new = build_document(stage="quantize", sources=[], toolchain="b" * 64, request={"params": {"seed": 1}})
    assert explain_difference(old, new) == (
        "request.params.seed: 0 -> 1",
        "toolchain: aaaaaaaaaaaa -> bbbbbbbbbbbb",
    )
