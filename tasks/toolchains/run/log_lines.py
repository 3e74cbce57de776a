"""Turns the bytes that a program prints into lines for a log."""

import time
from collections.abc import Callable, Iterator

MAX_LINE_CHARS = 4000
TRANSIENT_EVERY_S = 5.0


class LineSplitter:
    """Splits output into lines, as a terminal would show them.

    A carriage return overwrites a line (progress bars): only the last of such lines is kept, and one every
    few seconds, so that a long download shows progress. Over-long lines are truncated, and say so.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending = b""
        self._dropped_bytes = 0
        self._last_transient_s = clock()

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that this piece of output completes."""
        *complete, rest = (self._pending + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in complete:
            yield self._finish(line)
        yield from self._hold(rest)

    def end(self) -> Iterator[str]:
        """What is left if the output ends without a newline."""
        if self._pending:
            yield self._finish(self._pending)
            self._pending = b""

    def _finish(self, line: bytes) -> str:
        shown = line.rstrip(b"\r").rpartition(b"\r")[2]
        dropped, self._dropped_bytes = self._dropped_bytes + max(0, len(shown) - MAX_LINE_CHARS), 0
        text = shown[:MAX_LINE_CHARS].decode("utf-8", errors="replace").rstrip()
        return f"{text} [+{dropped} bytes]" if dropped else text

    def _hold(self, rest: bytes) -> Iterator[str]:
        """Keep an unfinished line, bounded in memory; now and then yield a progress bar's current state."""
        earlier, _, current = rest.rpartition(b"\r")
        shown = earlier.rpartition(b"\r")[2]
        if shown and self._clock() - self._last_transient_s >= TRANSIENT_EVERY_S:
            self._last_transient_s = self._clock()
            yield shown[:MAX_LINE_CHARS].decode("utf-8", errors="replace").rstrip()
        # A return at the very end may turn out to be half of \r\n: what it would overwrite stays.
        kept = shown + b"\r" if not current and earlier else current
        self._dropped_bytes += max(0, len(kept) - 2 * MAX_LINE_CHARS)
        self._pending = kept[: 2 * MAX_LINE_CHARS]
