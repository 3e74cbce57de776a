"""An answer is the range that was asked for, or it is refused: by its headers, and by its count of bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.errors import IntegrityError, StoreUnreachable
from artifacts.store.bucket import ByteRange
from artifacts.store.s3.ranges import exactly, range_header, refusal

ASKED = ByteRange(start=10, length=5, total=100)


def answer(
    status: int = 206, content_range: str = "bytes 10-14/100", length: int | None = 5
) -> dict[str, Any]:
    headers = {"ContentRange": content_range or None, "ContentLength": length}
    given = {name: value for name, value in headers.items() if value is not None}
    return {"ResponseMetadata": {"HTTPStatusCode": status}, **given}


def test_the_header_asks_for_the_range_with_both_ends() -> None:
    assert range_header(ASKED) == "bytes=10-14"


@pytest.mark.parametrize("good", [answer(), answer(length=None)])
def test_the_range_that_was_asked_for_is_taken(good: dict[str, Any]) -> None:
    assert refusal(ASKED, good, "here") is None


@pytest.mark.parametrize(
    ("other", "error", "said"),
    [
        (answer(status=200), StoreUnreachable, "status 200 instead of 206"),
        (answer(content_range=""), StoreUnreachable, "the range 'none'"),
        (answer(content_range="bytes 11-15/100"), StoreUnreachable, "the range 'bytes 11-15/100'"),
        (answer(content_range="bytes 10-15/100"), StoreUnreachable, "the range 'bytes 10-15/100'"),
        (answer(content_range="bytes 10-14/*"), StoreUnreachable, "the range"),
        (answer(content_range="bytes 10-14/101"), IntegrityError, "has 101 bytes instead of 100"),
        (answer(length=6), StoreUnreachable, "6 bytes instead of 5"),
    ],
)
def test_any_other_answer_is_refused_in_words(
    other: dict[str, Any], error: type[Exception], said: str
) -> None:
    refused = refusal(ASKED, other, "here")
    assert isinstance(refused, error)
    assert said in str(refused)


@given(st.lists(st.binary(max_size=8), max_size=8), st.integers(min_value=0, max_value=40))
def test_never_a_byte_more_than_asked_for_is_passed_on(pieces: list[bytes], length: int) -> None:
    asked, whole, passed = ByteRange(0, length, 100), b"".join(pieces), bytearray()
    try:
        for piece in exactly(pieces, asked, "here"):
            passed += piece
    except StoreUnreachable:
        refused = True
    else:
        refused = False
    assert refused == (len(whole) != length)
    assert whole.startswith(passed)
    assert len(passed) <= length
