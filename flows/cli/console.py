"""Output: data to stdout, messages to stderr; tables and progress bars on a terminal, else plain lines."""

import errno
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from artifacts.progress import OnProgress
from flows.text.units import human_bytes

_PLAIN_INTERVAL_S = 5.0


def say(line: str) -> None:
    """Print a line of progress, or a message, to stderr."""
    _write(line, sys.stderr)


def emit(text: str) -> None:
    """Write data to stdout."""
    _write(text, sys.stdout)


def _write(text: str, stream: TextIO) -> None:
    """Write a line; once nobody reads the stream, work goes on to its own end and exit code without it."""
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        if not (isinstance(error, BrokenPipeError) or _terminal_is_gone(error, stream)):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _terminal_is_gone(error: OSError, stream: TextIO) -> bool:
    """Whether an error of writing says that the terminal was closed, and not that a disk failed."""
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)


def emit_json(value: Any) -> None:
    """Write one JSON document to stdout; records are written as they are stored."""
    emit(json.dumps(value, indent=2, default=_plain))


def emit_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], empty: str, wraps: str | None = None
) -> None:
    """Write an aligned table to stdout, with borders if the terminal is wide enough for them.

    No cell is ever cut, because a user may have to type what it contains.

    Args:
        headers: names of the columns.
        rows: cells as text.
        empty: message for stderr if there are no rows.
        wraps: header of the only column whose text may continue on the next line.
    """
    if not rows:
        say(empty)
        return
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    if sys.stdout.isatty() and (fitting := _fitting_widths(headers, rows, widths, wraps)):
        _rich_table(headers, rows, fitting)
        return
    for row in (headers, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        emit(line.rstrip())


@contextmanager
def progress(label: str) -> Iterator[OnProgress]:
    """Yield a function of bytes done and bytes in total, for any thread: it shows a bar, or prints lines."""
    if not sys.stderr.isatty():
        yield _plain_progress(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield update


def _plain_progress(label: str) -> OnProgress:
    last = time.monotonic()
    lock = threading.Lock()

    def update(done: int, total: int) -> None:
        nonlocal last
        with lock:
            now = time.monotonic()
            if now - last < _PLAIN_INTERVAL_S and done < total:
                return
            last = now
        say(f"{label}: {human_bytes(done)} of {human_bytes(total)}")

    return update


def _fitting_widths(
    headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], wraps: str | None
) -> list[int]:
    """Return column widths that fit this terminal; empty if none do without cutting a cell."""
    from rich.console import Console

    # Each column takes a border and two spaces more, and a last border closes the table.
    room = Console().width - sum(widths) - 3 * len(widths) - 1
    if room >= 0:
        return list(widths)
    if wraps is None:
        return []
    column = list(headers).index(wraps)
    longest_word = max(len(word) for row in (headers, *rows) for word in (row[column].split() or [""]))
    left = widths[column] + room
    return [*widths[:column], left, *widths[column + 1 :]] if left >= longest_word else []


def _rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, width=width)
    for row in rows:
        table.add_row(*map(Text, row))  # as Text, because brackets in a cell are not markup
    Console().print(table)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
