"""What is actually in an installed environment: its files, checked against the digests that came with them.

Source of the format: `RECORD` of an installed distribution, PyPA "Recording installed projects": rows of
path, of `sha256=` with url-safe base64 without padding, and of size.
"""

import base64
import csv
import os
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name
from pydantic import Field

from artifacts.canonical import Digest, digest_of, sha256_file
from artifacts.frozen import Frozen
from tasks.errors import ToolchainCorrupt

# Written by the installer, not by the distribution's author: they say how it got here, not what is here.
NOT_CONTENT = frozenset(("INSTALLER", "REQUESTED", "RECORD", "direct_url.json"))


class Content(Frozen):
    """One installed distribution."""

    version: str
    files_sha256: Digest = Field(
        description="Digest of the distribution's [path, sha256, size] rows, sorted."
    )


def read_content(site_packages: Path) -> dict[str, Content]:
    """Every installed distribution by normalised name, each file's bytes checked.

    Raises ToolchainCorrupt, naming the file, if bytes differ from what the distribution came with.
    """
    return {_name(each): _content(each, site_packages) for each in distributions(path=[str(site_packages)])}


def installed_versions(site_packages: Path) -> dict[str, str]:
    """The versions of all installed distributions, by normalised name."""
    return {_name(each): each.version for each in distributions(path=[str(site_packages)])}


def tree_bytes(root: Path) -> int:
    """Total size of all files below a directory; links are not followed."""
    paths = (Path(directory, name) for directory, _, names in os.walk(root) for name in names)
    return sum(path.lstat().st_size for path in paths)


def _name(distribution: Distribution) -> str:
    return canonicalize_name(distribution.metadata["Name"])


def _content(distribution: Distribution, site_packages: Path) -> Content:
    rows = sorted(_rows(distribution))
    for path, sha256, _ in rows:
        if sha256_file(site_packages / path) != sha256:
            what = f"a file of {_name(distribution)} is not what its author recorded"
            fix = "delete the toolchain's directory and install it again"
            raise ToolchainCorrupt(what, where=str(site_packages / path), fix=fix)
    return Content(version=distribution.version, files_sha256=digest_of(rows))


def _rows(distribution: Distribution) -> Iterator[tuple[str, str, int]]:
    """The rows that identify the distribution: no byte code, no scripts (they name their interpreter)."""
    for path, digest, size in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        name = path.rpartition("/")[2]
        if digest and not path.startswith("..") and not path.endswith(".pyc") and name not in NOT_CONTENT:
            yield path, _hex(digest), int(size)


def _hex(digest: str) -> str:
    algorithm, _, encoded = digest.partition("=")
    if algorithm != "sha256":
        raise ToolchainCorrupt(f"unknown digest algorithm in a RECORD: {digest}")
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
