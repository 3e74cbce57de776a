"""Files of a dataset: which of them are a split, and their rows.

JSON Lines are read, packed with gzip or not, and Parquet.

Promises:
- A split is read whole: of numbered files, none may be missing.
- Files are streamed, and known by their content, whatever their names end with.
- Texts can be encoded: half a surrogate pair is replaced.
"""

from tasks.hub.row_files.json_lines import parse_line
from tasks.hub.row_files.reader import read_rows
from tasks.hub.row_files.row import FileRow
from tasks.hub.row_files.splits import split_files

__all__ = ["FileRow", "parse_line", "read_rows", "split_files"]
