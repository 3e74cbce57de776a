"""Printing: data to stdout, narration to stderr, tables and progress bars for terminals and plain lines
elsewhere.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flows.text.units import human_bytes

_PLAIN_INTERVAL_S = 5.0


def say(line: str) -> None:
    """Narrate one line on stderr."""
    print(line, file=sys.stderr, flush=True)


def emit(text: str) -> None:
    """Write data to stdout."""
    print(text, flush=True)


def emit_json(value: Any) -> None:
    """Write one JSON document to stdout; records are dumped as they are stored."""
    emit(json.dumps(value, indent=2, default=_plain))


def emit_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], empty: str, wraps: str | None = None
) -> None:
    """Write a table to stdout, aligned; with rules on a terminal that is wide enough for them.

    No cell is ever cut: what stands in it may have to be typed.

    Args:
        headers: names of the columns.
        rows: cells as text.
        empty: what is narrated where there are no rows.
        wraps: header of the one column whose words may go on in the next line.
    """
    if not rows:
        say(empty)
        return
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    if sys.stdout.isatty() and (fitted := _fitted(headers, rows, widths, wraps)):
        _rich_table(headers, rows, fitted)
        return
    for row in (headers, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        emit(line.rstrip())


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function that takes bytes done and bytes in all, from any thread: a bar on a terminal, else lines."""
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


def _plain_progress(label: str) -> Callable[[int, int], None]:
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


def _fitted(
    headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], wraps: str | None
) -> list[int]:
    """Widths of columns that fit this terminal; empty where none do without cutting a cell."""
    from rich.console import Console

    # Each column has a rule and two spaces beside it, and a last rule closes the table.
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
        table.add_row(*map(Text, row))  # as text: brackets are no markup
    Console().print(table)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
