"""Canonical JSON, and the digests made from it.

Every digest in enginery is the bare lower-case hex of a SHA-256. Records are hashed over their canonical JSON
(RFC 8785), so that the same content has the same digest on every host and in every language.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, Field

READ_BYTES = 1 << 20

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 as 64 lower-case hex digits."""


def canonical_bytes(obj: Any) -> bytes:
    """Return the canonical JSON (RFC 8785) of a JSON value or a pydantic record.

    Raises ValueError for what RFC 8785 cannot express: NaN, infinities, integers beyond 2**53, lone
    surrogates.
    """
    if isinstance(obj, BaseModel):
        obj = obj.model_dump(mode="json")
    encoded: bytes = rfc8785.dumps(obj)
    return encoded


def digest_of(obj: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a JSON value or a pydantic record."""
    return hashlib.sha256(canonical_bytes(obj)).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
