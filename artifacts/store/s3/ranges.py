"""Checks that an S3 server's answer is exactly the range that was asked for.

Invariants:
- What is passed on lies within the range, whatever the server, or a proxy in between, sends: a caller that
  writes it at the offset of the range cannot overwrite anything outside it.
- An answer that ignores the range, holds another range, or is too long or too short is refused with a reason.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from artifacts.errors import RESTORE_FIX, ArtifactError, IntegrityError, StoreUnreachable
from artifacts.store.bucket import AGAIN_FIX, ByteRange

PARTIAL_CONTENT = 206


def range_header(asked: ByteRange) -> str:
    """Return the value of the request's header Range (RFC 9110, section 14.2)."""
    return f"bytes={asked.start}-{asked.start + asked.length - 1}"


def _content_range(asked: ByteRange) -> str:
    """Return the value that the answer's header Content-Range must have (RFC 9110, section 14.4)."""
    return f"bytes {asked.start}-{asked.start + asked.length - 1}/{asked.total}"


def refusal(asked: ByteRange, answer: Mapping[str, Any], where: str) -> ArtifactError | None:
    """Return why an answer of boto3's `get_object` is not the range that was asked for; None if it is.

    An object of another size is an IntegrityError; anything else is a StoreUnreachable, as asking again may
    help.
    """
    status, found = answer["ResponseMetadata"]["HTTPStatusCode"], answer.get("ContentRange", "none")
    if status != PARTIAL_CONTENT:
        return _other(f"status {status} instead of {PARTIAL_CONTENT}", asked, where)
    total = found.rpartition("/")[2]
    if total.isdigit() and int(total) != asked.total:
        what = f"the store's object has {total} bytes instead of {asked.total}"
        return IntegrityError(what, where=where, fix=RESTORE_FIX)
    if found != _content_range(asked):
        return _other(f"the range {found!r}", asked, where)
    if (length := answer.get("ContentLength", asked.length)) != asked.length:  # chunked answers lack it
        return _other(f"{length} bytes instead of {asked.length}", asked, where)
    return None


def exactly(pieces: Iterable[bytes], asked: ByteRange, where: str) -> Iterator[bytes]:
    """Pass on the pieces of an answer's body; raise StoreUnreachable if it has a byte too many or too few."""
    left = asked.length
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise _other(f"more than {asked.length} bytes", asked, where)
        yield piece
    if left:
        raise _other(f"{asked.length - left} bytes instead of {asked.length}", asked, where)


def _other(found: str, asked: ByteRange, where: str) -> StoreUnreachable:
    what = f"the S3 server answered a request for {range_header(asked)} with {found}"
    return StoreUnreachable(what, where=where, fix=AGAIN_FIX)
