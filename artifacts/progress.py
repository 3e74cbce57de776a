"""Types of the callbacks that long work reports its progress to.

Whoever starts the work decides where a report goes: to a flow's logger, to stderr, into a bar, or nowhere.
A parameter has one name per meaning: `say` takes lines, `on_bytes` takes counts of bytes, and `on_progress`
takes the bytes that are done and the bytes in all.
"""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes one line of progress."""

OnBytes = Callable[[int], None]
"""Takes the number of bytes that are done since the call before; it is called from several threads."""

OnProgress = Callable[[int, int], None]
"""Takes the bytes that are done and the bytes in all; it is called from several threads."""


def ignore_bytes(_count: int) -> None:
    """Take a count of bytes, for callers that do not show progress."""
