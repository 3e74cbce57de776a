"""Checking the bytes of a downloaded file against the digest that the Hub declares.

For plain files this is the id of git's blob object (SHA-1 of `blob <size>\\0<content>`), for LFS files the
SHA-256 of the content.
"""

import hashlib
from pathlib import Path

from artifacts.canonical import READ_BYTES, sha256_file
from tasks.hub.selection import HubFile


def git_blob_id(path: Path) -> str:
    """Return the id that git gives to a file's content; the file is streamed, never read whole."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def content_problem(path: Path, declared: HubFile) -> str:
    """Say what is wrong with the bytes at `path`, as a sentence without its subject; empty if nothing is."""
    size_bytes = path.stat().st_size
    if size_bytes != declared.size_bytes:
        return f"has {size_bytes} bytes, the Hub declares {declared.size_bytes}"
    if declared.sha256:
        name, wanted, found = "sha256", declared.sha256, sha256_file(path)
    else:
        name, wanted, found = "git blob id", declared.blob_id, git_blob_id(path)
    return "" if found == wanted else f"has {name} {found[:16]}…, the Hub declares {wanted[:16]}…"
