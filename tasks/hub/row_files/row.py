"""One row of a file."""

from typing import Any, NamedTuple


class FileRow(NamedTuple):
    """A row as its file has it.

    Attributes:
        place: FILE:LINE, or FILE:ROW in a file without lines; both count from 1.
        fields: what the row holds.
        replaced: whether a text had half a surrogate pair, which U+FFFD replaces.
    """

    place: str
    fields: dict[str, Any]
    replaced: bool
