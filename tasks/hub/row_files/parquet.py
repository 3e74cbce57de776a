"""Rows of Parquet, the format of most datasets on the Hub.

pyarrow is imported only when a Parquet file is read: it is large, and a second late.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from tasks.errors import TextsInvalid
from tasks.hub.row_files.row import FileRow

# Rows that are in memory at a time.
BATCH_ROWS = 1024


def read_parquet(path: Path, name: str, fields: Collection[str]) -> Iterator[FileRow]:
    """Yield the rows of a file; only the columns of `fields` are read if the file has all of these.

    Raises:
        TextsInvalid: the file is damaged, or holds what pyarrow does not read.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names, fields)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield FileRow(f"{name}:{number}", row, replaced=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TextsInvalid(
            f"this Parquet file cannot be read after row {number}: {error}",
            where=name,
            fix="write it again, or pin a commit whose upload was completed",
        ) from error


def _columns(names: Collection[str], fields: Collection[str]) -> list[str] | None:
    """Return the columns to read; None: all, so that an error can name them.

    A dot in a field reaches into a column, unless there is a column of that name.
    """
    used = {field if field in names else field.partition(".")[0] for field in fields}
    return [name for name in names if name in used or name == "id"] if used <= set(names) else None
