"""Reading every byte that a release refers to, which finds damage that a listing does not show.

A blob of the right size with wrong bytes is found here and nowhere earlier; pulls refuse it, and a forced
build that makes the same bytes replaces it.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from artifacts.errors import RESTORE_FIX, IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.progress import OnProgress
from artifacts.releases.releases import Release
from artifacts.store import Listing, Progress, by_digest, damaged

if TYPE_CHECKING:
    from artifacts.store import Store


class Intact(Frozen):
    """What was read and matches the release."""

    trees: int = Field(description="Trees that the release names.")
    blobs: int = Field(description="Blobs of these trees; one that several share counts once.")
    total_bytes: int = Field(description="Bytes of these blobs.")


def inspect_release(store: "Store", release: Release, on_progress: OnProgress | None = None) -> Intact:
    """Read every blob of every tree of a release from the store, and hash it.

    Args:
        store: where the release is kept.
        release: the release; its engines, checkpoints, reports and evidence are read.
        on_progress: called with the bytes read and the total bytes, from several threads.

    Raises IntegrityError, naming every key that is missing or damaged, and StoreUnreachable.
    """
    found: dict[str, str] = {}
    listings: list[Listing] = []
    trees = tuple(dict.fromkeys(tree for variant in release.variants for tree in variant.trees))
    for tree in trees:
        try:
            listings.append(store.get_listing(tree))
        except (NotFound, IntegrityError) as error:
            found[error.where] = error.what
    files = by_digest(file for listing in listings for file in listing.files)
    total_bytes = sum(file.size for file in files.values())
    for defect in damaged(store.bucket, files, Progress(total_bytes, on_progress).add).values():
        found[store.bucket.where(defect.key)] = str(defect)
    count = len(files) + len(trees)
    if found:
        raise IntegrityError(
            f"{release.name}@{release.version}: {len(found)} of {count} objects in the store are "
            "missing or damaged:",
            where="".join(f"\n    {place}: {problem}" for place, problem in found.items()),
            fix=RESTORE_FIX,
        )
    return Intact(trees=len(trees), blobs=len(files), total_bytes=total_bytes)
