"""Canonical JSON and digests."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.canonical import READ_BYTES, canonical_bytes, digest_of, sha256_file
from artifacts.hosts import HostRequirements

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=5,
)


def test_keys_are_sorted_and_nothing_is_escaped_or_spaced_that_need_not_be() -> None:
    assert canonical_bytes({"b": [1.0, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter(document: dict[str, object]) -> None:
    assert digest_of(document) == digest_of(dict(reversed(document.items())))


def test_a_record_has_the_digest_of_its_json() -> None:
    record = HostRequirements(machine="x86_64", cpu_features=("avx2",))
    assert digest_of(record) == digest_of(record.model_dump(mode="json"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, "\ud800"])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        canonical_bytes({"value": value})


@pytest.mark.parametrize("size", [0, 1, READ_BYTES - 1, READ_BYTES, 2 * READ_BYTES + 3])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content[:size]).hexdigest()
