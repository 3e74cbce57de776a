"""Opening a file of rows by its first bytes."""

from collections.abc import Collection, Iterator
from pathlib import Path

from tasks.hub.row_files.json_lines import read_lines
from tasks.hub.row_files.parquet import read_parquet
from tasks.hub.row_files.row import FileRow

PARQUET = b"PAR1"


def read_rows(path: Path, name: str, fields: Collection[str]) -> Iterator[FileRow]:
    """Yield the rows of a file.

    Args:
        path: the file.
        name: its name in the dataset.
        fields: names of the fields that are used; others may be left out of the rows.

    Raises:
        TextsInvalid: it has rows in no format that is read, or is damaged.
    """
    with path.open("rb") as stream:
        parquet = stream.read(len(PARQUET)) == PARQUET
    return read_parquet(path, name, fields) if parquet else read_lines(path, name)
