"""A range of a file as a file of its own, so that a part can be sent without being held in memory."""

import io
from pathlib import Path
from typing import Any


class FileSlice(io.RawIOBase):
    """Part of a file, read-only and seekable; positions count from the start of the part."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._start, self._length, self._position = start, length, 0
        self._file.seek(start)

    def __len__(self) -> int:
        return self._length

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: boto3 reads a part once to sign it, and again to send it."""
        return True

    def tell(self) -> int:
        """Return the position within the slice."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move within the slice, and return the new position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = origin + offset
        self._file.seek(self._start + self._position)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Read into the buffer, not beyond the end of the slice; return the number of bytes."""
        room = min(len(buffer), max(0, self._length - self._position))
        count = self._file.readinto(memoryview(buffer)[:room])
        self._position += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
