"""Digests of every file where an interpreter finds its packages, no matter who put it there.

Reading gigabytes takes seconds, so digests of files are remembered, each for as long as everything that the
file system says about the file (device, inode, size, times of change) stays the same. An interpreter may hold
a hundred thousand files, and every stage looks: so files are listed without a `Path` for each.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from artifacts.canonical import sha256_file

# Written by installers: they say how something got there, not what it is.
NOT_CONTENT = frozenset(("INSTALLER", "REQUESTED", "RECORD", "direct_url.json"))
Remembered = dict[str, list[int | str]]


class _File(NamedTuple):
    relative: str
    path: str
    state: list[int | str]


def content_digest(paths: Iterable[Path], memory: Path) -> str:
    """One digest of all files below these directories, except byte code; it does not depend on their paths.

    `memory` is the file that remembers digests; it is written again if anything had to be read.
    """
    known = _read(memory)
    trees = [sorted(_files(str(path))) for path in paths]
    found = _digests([file for files in trees for file in files], known)
    if found != known:
        _write(memory, found)
    whole = hashlib.sha256()
    for files in trees:
        # No name of a file holds a zero byte, so nothing else has these bytes.
        rows = "".join(f"{file.relative}\0{found[file.path][-1]}\0" for file in files)
        whole.update(f"{len(files)}\0{rows}".encode(errors="surrogateescape"))
    return whole.hexdigest()


def without_byte_code(paths: Iterable[Path], python: str) -> dict[Path, tuple[int, int]]:
    """Return the directories in which modules have no byte code: how many have none, and how many there are.

    Args:
        paths: where packages are.
        python: version of the interpreter that would read it, such as 3.12.3; without optimization.
    """
    ending = f".cpython-{''.join(python.split('.')[:2])}.pyc"
    found = {path: _modules(str(path), ending) for path in paths}
    return {path: counts for path, counts in found.items() if counts[0]}


def _modules(root: str, ending: str) -> tuple[int, int]:
    lacking, modules = 0, 0
    for directory, below, names in os.walk(root):
        sources = [name.removesuffix(".py") for name in names if name.endswith(".py")]
        cache = Path(directory, "__pycache__").iterdir() if "__pycache__" in below else ()
        lacking += len({f"{name}{ending}" for name in sources}.difference(path.name for path in cache))
        modules += len(sources)
        below[:] = [name for name in below if name != "__pycache__"]
    return lacking, modules


def _files(root: str, relative: str = "") -> Iterator[_File]:
    """Yield the regular files below a directory, also behind links to files, but not to directories."""
    metadata = root.endswith(".dist-info")
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _files(entry.path, f"{relative}{entry.name}/")
                continue
            left_out = entry.name.endswith(".pyc") or (metadata and entry.name in NOT_CONTENT)
            found = None if left_out else _look(entry)
            if found is not None and stat.S_ISREG(found.st_mode):
                yield _File(relative + entry.name, entry.path, _state(found))


def _look(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what a name leads to; None for a link to nothing, or to itself."""
    try:
        return entry.stat()
    except OSError:
        return None


def _digests(files: Iterable[_File], known: Remembered) -> Remembered:
    states = {file.path: file.state for file in files}
    new = [path for path, state in states.items() if known.get(path, [])[:-1] != state]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = dict(zip(new, pool.map(lambda path: sha256_file(Path(path)), new), strict=True))
    return {path: [*state, read.get(path) or known[path][-1]] for path, state in states.items()}


def _state(found: os.stat_result) -> list[int | str]:
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
