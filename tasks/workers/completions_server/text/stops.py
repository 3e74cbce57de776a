"""Finds where an answer ends at a stop string, which may be spread over several tokens.

Invariants:
- What `push` returned is final: the end of the text is held back while a stop string could begin there.
- The first match in the text counts, whatever the order of the stop strings.
- A match that ends within the first tokens, before the answer may end, is text like any other.
"""

from collections.abc import Sequence


class StopFinder:
    """The text of one answer up to its stop string."""

    def __init__(self, stops: Sequence[str], *, included: bool) -> None:
        self._stops = stops
        self._included = included
        self._held = ""
        self.found: str | None = None

    def push(self, piece: str, *, may_end: bool = True) -> str:
        """Append text; returns what certainly belongs to the answer. `found` is the stop string, if any."""
        if not self._stops:
            return piece
        text = self._held + piece
        if may_end and (end := self._end(text)) is not None:
            self._held = ""
            return text[:end]
        kept = max((self._begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def finish(self) -> str:
        """Return the text that was held back; the answer ended for another reason."""
        held, self._held = self._held, ""
        return held

    def _end(self, text: str) -> int | None:
        matches = [(text.find(stop), order) for order, stop in enumerate(self._stops) if stop in text]
        if not matches:
            return None
        start, order = min(matches)
        self.found = self._stops[order]
        return start + len(self.found) if self._included else start

    @staticmethod
    def _begun(text: str, stop: str) -> int:
        """The length of the longest end of the text that a stop string begins with, short of all of it."""
        longest = min(len(text), len(stop) - 1)
        return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)
