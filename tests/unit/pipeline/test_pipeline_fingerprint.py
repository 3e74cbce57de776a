"""Fingerprints: equal for equal work wherever it is done, different for anything that changes the result."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tasks.runs import build_document, worker_sources
from tasks.runs.fingerprint import explain_difference, fingerprint_of, sources_digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _worker(directory: Path) -> Path:
    directory.mkdir()
    (directory / "worker.py").write_text("import os\nimport helper\nfrom second import thing\n")
    (directory / "helper.py").write_text("import second\n")
    (directory / "second.py").write_text("thing = 1\n")
    (directory / "unrelated.py").write_text("")
    return directory / "worker.py"


def test_sources_follow_sibling_imports_only(tmp_path: Path) -> None:
    worker = _worker(tmp_path / "a")
    assert [path.name for path in worker_sources(worker)] == ["helper.py", "second.py", "worker.py"]


def test_shipped_file_counts_as_source(tmp_path: Path) -> None:
    worker = _worker(tmp_path / "a")
    shipped = worker_sources(worker, [worker.parent / "unrelated.py"])
    assert worker.parent / "unrelated.py" in shipped


def test_digest_ignores_the_directory_and_sees_an_imported_change(tmp_path: Path) -> None:
    first, second = _worker(tmp_path / "a"), _worker(tmp_path / "b")
    assert sources_digest(worker_sources(first)) == sources_digest(worker_sources(second))
    (tmp_path / "b" / "second.py").write_text("thing = 2\n")
    assert sources_digest(worker_sources(first)) != sources_digest(worker_sources(second))


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
