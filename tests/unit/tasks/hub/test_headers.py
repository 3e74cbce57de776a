"""Which weight files show how a checkpoint is stored."""

import pytest

from tasks.hub.headers import FILES_READ, chosen
from tasks.hub.selection import HubFile


@pytest.mark.parametrize("count", [1, 3, 4, 5, 30, 163])
def test_a_few_files_are_read_and_the_ends_are_among_them(count: int) -> None:
    files = [HubFile(path=f"{index:05}", size_bytes=1, blob_id="0" * 40) for index in range(count)]
    read = chosen(files)
    assert len(set(read)) == min(count, FILES_READ)
    assert (read[0], read[-1]) == (files[0], files[-1])
    assert list(read) == sorted(read, key=lambda file: file.path)
