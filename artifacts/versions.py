"""Taking a version number: `releases/<name>/<version>/reserved.json`, written with If-None-Match.

Invariants:
- Patch numbers are tried upwards and each reservation is immutable, so racing publishers
  get different ones.
- A reservation carries the publication's own fingerprint, so that a retry finds the version it took before.
- A number that was taken and never published stays a gap; nothing is reused.
"""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field

from artifacts.canonical import Digest
from artifacts.frozen import Frozen

if TYPE_CHECKING:
    from artifacts.store import Store


class Reservation(Frozen):
    """`reserved.json`: who took a version."""

    publication_fingerprint: Digest = Field(description="What the publication consists of.")
    reserved_at: AwareDatetime = Field(description="When, with its time zone.")


def reserve_version(store: "Store", name: str, minor: str, publication_fingerprint: str) -> str:
    """Take the next patch of a declared `major.minor`; the same publication always gets the same version."""
    raise NotImplementedError
