"""Files by ranges, into the cache of the Hub's client, where a later attempt goes on.

The client itself starts a file again from its first byte after an interruption. Here, bytes are kept in
`blobs/DIGEST.part` until the file is complete; what is complete lies where the client keeps it.

Invariants:
- Whatever was written stays, until the file is complete or its bytes turn out to be wrong.
- Bytes have one place: two processes that both download, on a file system without locks, write the same.
- No range is longer than `RANGE_BYTES`: servers in front of the Hub's storage refuse more than 50 GB at once.
- The bytes are not verified here: whoever uses the file compares its digest.
"""

import time
from pathlib import Path

from filelock import FileLock
from httpx2 import NetworkError, RemoteProtocolError, TimeoutException
from huggingface_hub.file_download import repo_folder_name

from tasks.hub.access import HubAccess
from tasks.hub.selection import HubFile
from tasks.hub.transfer.ranges import open_range
from tasks.hub.transfer.retry_after import patiently

RANGE_BYTES = 1 << 30
# Attempts in a row that bring nothing new.
MOST_ATTEMPTS = 5
PAUSE_S = 1.0
BROKEN_OFF = (TimeoutException, NetworkError, RemoteProtocolError)


class Incomplete(Exception):
    """A server ends a file before its last byte, each time; the message says where."""


def bring_blob(repo_id: str, kind: str, commit: str, file: HubFile, url: str, access: HubAccess) -> Path:
    """Download a file unless the cache holds it; return its path in the commit's snapshot there.

    Raises:
        Incomplete: the server ends the file too early each time.
        HubUnreachable: a web page comes in place of the file.
        HfHubHTTPError, HTTPError: as the Hub's client raises them.
    """
    blob = _blob(repo_id, kind, file, access)
    pointer = blob.parents[1] / "snapshots" / commit / file.path
    if pointer.exists():
        return pointer
    lock = access.cache_dir / ".locks" / blob.parents[1].name / f"{blob.name}.lock"
    for folder in (blob.parent, pointer.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not blob.exists():
            part = _part(blob)
            part.touch()
            _fill(part, file, url, access)
            part.replace(blob)
        if not pointer.exists():
            pointer.unlink(missing_ok=True)
            pointer.symlink_to(Path(*[".."] * (len(Path(file.path).parts) + 1), "blobs", blob.name))
    return pointer


def kept_bytes(repo_id: str, kind: str, file: HubFile, access: HubAccess) -> int:
    """Return how many bytes of an incomplete download of a file are kept."""
    part = _part(_blob(repo_id, kind, file, access))
    return min(part.stat().st_size, file.size_bytes) if part.exists() else 0


def _fill(part: Path, file: HubFile, url: str, access: HubAccess) -> None:
    """Append to a file until it is complete, as long as attempts bring something new."""
    most = attempts = 0
    while (have := part.stat().st_size) < file.size_bytes:
        failure: Exception = Incomplete(f"it ends after {have} of {file.size_bytes} bytes")
        try:
            patiently(lambda: _append(part, file.size_bytes, url, access))
        except BROKEN_OFF as error:
            failure = error
        now = part.stat().st_size
        most, attempts = max(most, now), 0 if now > most else attempts + 1
        if attempts == MOST_ATTEMPTS:
            raise failure
        time.sleep(PAUSE_S * attempts)


def _append(part: Path, size_bytes: int, url: str, access: HubAccess) -> None:
    """Append the next range to a file, or what arrives of it."""
    have = part.stat().st_size
    stop = min(have + RANGE_BYTES, size_bytes)
    with open_range(url, have, stop, access) as (begins, pieces), part.open("r+b") as out:
        out.truncate(min(begins, have))
        out.seek(min(begins, have))
        for piece in pieces:
            out.write(piece)
            if out.tell() >= size_bytes:
                break


def _blob(repo_id: str, kind: str, file: HubFile, access: HubAccess) -> Path:
    folder = access.cache_dir / repo_folder_name(repo_id=repo_id, repo_type=kind)
    return folder / "blobs" / (file.sha256 or file.blob_id)


def _part(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.part")
