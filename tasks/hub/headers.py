"""The headers of safetensors files on the Hub, read by ranged requests: types of tensors without weights.

Invariants:
- A header is all that is read of a file: then the connection is closed, even if the server ignores ranges.
- Only some of a checkpoint's files are read: a quantizer leaves its marks in every file with linear layers.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.errors import CheckpointUnsupported
from tasks.hub.access import HubAccess
from tasks.hub.client import Repository, file_url
from tasks.hub.errors import hub_errors
from tasks.hub.selection import HubFile
from tasks.hub.transfer import open_range, patiently

FILES_READ = 4
LENGTH_BYTES = 8
# Most headers are shorter, so that one request is enough.
FIRST_BYTES = 128 * 1024
MOST_HEADER_BYTES = 100_000_000
FIX = (
    "pin a commit whose upload was completed: a repository that was copied without Git LFS holds pointers of "
    "some 130 bytes in place of weights"
)


def tensor_types(
    repo: Repository, commit: str, files: Sequence[HubFile], access: HubAccess
) -> dict[str, str]:
    """Return the type of each tensor by its name, as safetensors spells it, from a few of the weight files.

    Args:
        repo: where the files are.
        commit: at which commit.
        files: all weight files of the checkpoint, sorted by path.
        access: the Hub.

    Raises:
        CheckpointUnsupported: a file is not a safetensors file.
        CheckpointUnavailable, HubUnreachable: see `tasks.hub.errors`.
    """

    def types(file: HubFile) -> dict[str, str]:
        return dict(_types(_header(repo, commit, file, access), f"{file.path} of {repo.at(commit)}"))

    found: dict[str, str] = {}
    with ThreadPoolExecutor(FILES_READ) as pool:
        for one in pool.map(types, chosen(files)):
            found |= one
    return found


def chosen(files: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """Return the files that are read: all of a few, otherwise the first, the last and some between."""
    if len(files) <= FILES_READ:
        return tuple(files)
    last = len(files) - 1
    return tuple(files[round(index * last / (FILES_READ - 1))] for index in range(FILES_READ))


def _header(repo: Repository, commit: str, file: HubFile, access: HubAccess) -> bytes:
    """Read a file's header; one with more than `FIRST_BYTES` takes a second request."""
    where = f"{file.path} of {repo.at(commit)}"
    url = file_url(repo, commit, file, access)
    with hub_errors(where, access):
        content = patiently(lambda: _read(url, FIRST_BYTES, access))
        length = struct.unpack("<Q", content[:LENGTH_BYTES])[0] if len(content) >= LENGTH_BYTES else 0
        if not 0 < length <= min(MOST_HEADER_BYTES, file.size_bytes - LENGTH_BYTES):
            raise _invalid(where, f"it has {file.size_bytes} bytes and declares a header of {length}")
        if LENGTH_BYTES + length > len(content):
            content = patiently(lambda: _read(url, LENGTH_BYTES + length, access))
    return content[LENGTH_BYTES : LENGTH_BYTES + length]


def _read(url: str, size_bytes: int, access: HubAccess) -> bytes:
    """Read the first bytes behind an address, and no more than these."""
    with open_range(url, 0, size_bytes, access) as (_, pieces):
        content = bytearray()
        for part in pieces:
            content += part
            if len(content) >= size_bytes:
                break
    return bytes(content[:size_bytes])


def _types(header: bytes, where: str) -> Iterator[tuple[str, str]]:
    try:
        entries = json.loads(header)
        for name, entry in entries.items():
            if name != "__metadata__":
                yield name, str(entry["dtype"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _invalid(where, f"its header cannot be read ({error!r})") from error


def _invalid(where: str, why: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(f"this is not a safetensors file: {why}", where=where, fix=FIX)
