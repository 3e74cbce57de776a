"""References to releases: `name`, `name@1.4`, `name@1.4.2`, `name:channel`.

`name` means `name:stable`. `name@1.4` is the newest published patch of 1.4.
"""

from typing import TYPE_CHECKING

from artifacts.releases import Release

if TYPE_CHECKING:
    from artifacts.store import Store


def resolve(store: "Store", text: str) -> Release:
    """The release that a reference means; raises BadReference, or NotFound, which says what there is."""
    raise NotImplementedError
