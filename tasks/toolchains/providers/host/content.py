"""Digests of every file where an interpreter finds its packages, no matter who put it there.

Reading gigabytes takes seconds, so digests of files are remembered, each for as long as everything that the
file system says about the file (device, inode, size, times of change) stays the same.
"""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from artifacts.canonical import digest_of, sha256_file

# Written by installers: they say how something got there, not what it is.
NOT_CONTENT = frozenset(("INSTALLER", "REQUESTED", "RECORD", "direct_url.json"))
Remembered = dict[str, list[int | str]]


def content_digest(paths: Iterable[Path], memory: Path) -> str:
    """One digest of all files below these directories, except byte code; it does not depend on their paths.

    `memory` is the file that remembers digests; it is written again if anything had to be read.
    """
    known = _read(memory)
    rows = [[(file.relative_to(path).as_posix(), file) for file in sorted(_files(path))] for path in paths]
    found = _digests((file for row in rows for _, file in row), known)
    if found != known:
        _write(memory, found)
    return digest_of([[[name, found[str(file)][-1]] for name, file in row] for row in rows])


def _files(path: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(path):
        folders[:] = [folder for folder in folders if folder != "__pycache__"]
        metadata = directory.endswith(".dist-info")
        for name in names:
            file = Path(directory, name)
            if not name.endswith(".pyc") and not (metadata and name in NOT_CONTENT) and file.is_file():
                yield file


def _digests(files: Iterable[Path], known: Remembered) -> Remembered:
    states = {str(file): _state(file) for file in files}
    new = [file for file, state in states.items() if known.get(file, [])[:-1] != state]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = dict(zip(new, pool.map(lambda file: sha256_file(Path(file)), new), strict=True))
    return {file: [*state, read.get(file) or known[file][-1]] for file, state in states.items()}


def _state(file: Path) -> list[int | str]:
    found = file.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _read(memory: Path) -> Remembered:
    try:
        found: Remembered = json.loads(memory.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def _write(memory: Path, remembered: Remembered) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    aside = memory.with_name(f"{memory.name}.{os.getpid()}.part")
    aside.write_text(json.dumps(remembered), encoding="utf-8")
    os.replace(aside, memory)  # noqa: PTH105  atomic
