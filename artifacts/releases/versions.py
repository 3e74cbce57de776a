"""Reserving version numbers: `releases/<name>/<version>/reserved.json`, written with If-None-Match.

Invariants:
- Patch numbers are tried upwards and each reservation is immutable, so racing publishers get different ones.
- A reservation carries its publication's fingerprint, so that a retry finds the version it took before.
- A reservation holds its own name and version: one stored under another key is an integrity error.
- A number whose reservation is lost or damaged still counts as taken; its release says by whom.
- A number that was taken and never published stays a gap; nothing is reused.
"""

import itertools
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from artifacts.canonical import Digest, canonical_bytes
from artifacts.errors import BadReference, Conflict, IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.parallel import READ_THREADS, run_all
from artifacts.releases.releases import NAME_PATTERN, VERSION_PATTERN, read_release, version_key
from artifacts.store import warn_skipped

if TYPE_CHECKING:
    from artifacts.store import Store


MINOR_PATTERN = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)$")


class Reservation(Frozen):
    """`reserved.json`: who took a version."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the spec.")
    version: str = Field(pattern=VERSION_PATTERN, description="The version that was taken.")
    publication_fingerprint: Digest = Field(description="What the publication consists of.")
    reserved_at: AwareDatetime = Field(description="When it was taken, with time zone.")


def reserve_version(store: "Store", name: str, minor: str, publication_fingerprint: str) -> str:
    """Take the next patch of a declared `major.minor`; the same publication always gets the same version.

    Args:
        store: where the versions are kept.
        name: name of the spec.
        minor: the declared version, such as `1.4`.
        publication_fingerprint: digest of what is to be published.

    Returns the version, such as `1.4.2`. Raises BadReference if `minor` is not major.minor.
    """
    if not MINOR_PATTERN.match(minor):
        raise BadReference(
            f"{minor!r} is not a version", where=name, fix='declare major.minor, such as "1.4"'
        )
    taken = _taken(store, name, minor)
    if publication_fingerprint in taken.values():
        return next(version for version, owner in taken.items() if owner == publication_fingerprint)
    first_free = 1 + max((version_key(version)[2] for version in taken), default=-1)
    for patch in itertools.count(first_free):
        if _take(store, name, f"{minor}.{patch}", publication_fingerprint):
            return f"{minor}.{patch}"
    raise AssertionError("patch numbers do not end")


def _taken(store: "Store", name: str, minor: str) -> dict[str, str]:
    """Return the versions taken, each with its publication's fingerprint; empty if that is unknown."""
    found = store.bucket.children(f"releases/{name}/")
    versions = [one for one in found if re.fullmatch(VERSION_PATTERN, one) and one.startswith(f"{minor}.")]
    owners = run_all(lambda version: _owner(store, name, version), versions, READ_THREADS)
    return dict(zip(versions, owners, strict=True))


def _owner(store: "Store", name: str, version: str) -> str:
    """Return the fingerprint of a version's publication: from its reservation or, if lost, its release."""
    key = _key(name, version)
    try:
        return store.read_record(key, Reservation, _key_of).publication_fingerprint
    except NotFound:
        warn_skipped(store.bucket, key, "it is missing; its number counts as taken")
    except IntegrityError as error:
        warn_skipped(store.bucket, key, f"{error.what}; its number counts as taken")
    try:
        return read_release(store, name, version).publication_fingerprint
    except (NotFound, IntegrityError):
        return ""


def _take(store: "Store", name: str, version: str, publication_fingerprint: str) -> bool:
    """Whether the version now belongs to this publication, taken here or by another run of it."""
    mine = Reservation(
        name=name,
        version=version,
        publication_fingerprint=publication_fingerprint,
        reserved_at=datetime.now(UTC),
    )
    try:
        store.bucket.put(_key_of(mine), canonical_bytes(mine), if_absent=True)
    except Conflict:
        theirs = store.read_record(_key_of(mine), Reservation, _key_of)
        return theirs.publication_fingerprint == publication_fingerprint
    return True


def _key_of(reservation: Reservation) -> str:
    return _key(reservation.name, reservation.version)


def _key(name: str, version: str) -> str:
    return f"releases/{name}/{version}/reserved.json"
