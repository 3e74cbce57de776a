"""Which files of a dataset are a split. Pure.

As the Hub lays datasets out, the files of split S are `S.EXT`, `S-ANYTHING.EXT`, `S.ANYTHING.EXT` or
`S/ANYTHING.EXT`, in the root of the repository or in `data/`. A dataset with several configurations keeps
them in folders: there, the split is CONFIGURATION/S.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from tasks.errors import TextsInvalid
from tasks.hub.selection import HubFile

# In this order: a split that is there in several formats is read in one.
SUFFIXES = (".jsonl", ".jsonl.gz", ".json.gz", ".parquet", ".json")
NUMBERED = re.compile(r"(?P<head>.*?)[-.]?(?P<number>\d+)-of-(?P<count>\d+)")
# Next to the rows, these describe them.
DESCRIPTIONS = frozenset({"dataset_info.json", "dataset_infos.json", "state.json"})
MOST_NAMED = 10
MOST_MISSING_NAMED = 5


def split_files(files: Iterable[HubFile], split: str, *, where: str) -> tuple[HubFile, ...]:
    """Return the files of a split, all in one format, in the order of their numbers.

    Raises:
        TextsInvalid: there are none, or one of several numbered files is missing; the message says what there
            is instead.
    """
    listing = [file for file in files if PurePosixPath(file.path).name not in DESCRIPTIONS]
    name = re.compile(rf"(data/)?{re.escape(split)}([-.][^/]*|/.+)?")
    found = [file for file in listing if name.fullmatch(_stem(file.path))]
    for suffix in SUFFIXES:
        readable = [file for file in found if _suffix(file.path) == suffix]
        if readable:
            _require_whole(readable, split, where)
            return tuple(sorted(readable, key=lambda file: _natural(file.path)))
    formats = "JSON Lines, packed with gzip or not, and Parquet are read"
    if found:
        paths = ", ".join(file.path for file in found[:MOST_NAMED])
        raise TextsInvalid(
            f"split {split!r} has only these files: {paths}",
            where=where,
            fix=f"{formats}: pin a revision that has them, or give a local file with `path`",
        )
    there = sorted({one for file in listing for one in _splits_of(file.path)})
    said = f"; it has {', '.join(there[:MOST_NAMED])}" if there else ""
    more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
    raise TextsInvalid(
        f"the dataset has no split {split!r}{said}{more}",
        where=where,
        fix=f"name a split that it has, with the folder of its configuration; {formats}",
    )


def _require_whole(files: Iterable[HubFile], split: str, where: str) -> None:
    """Refuse numbered files of which one is missing; numbers count from 0 or from 1."""
    groups: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in files:
        if numbered := NUMBERED.fullmatch(_stem(file.path)):
            groups[numbered["head"], int(numbered["count"])].add(int(numbered["number"]))
    for (_, count), numbers in groups.items():
        first = 0 if 0 in numbers else 1
        if missing := sorted(set(range(first, first + count)) - numbers):
            shown = ", ".join(map(str, missing[:MOST_MISSING_NAMED]))
            raise TextsInvalid(
                f"split {split!r} lacks {len(missing)} of its {count} files: number {shown}",
                where=where,
                fix="pin a commit whose upload was completed",
            )


def _splits_of(path: str) -> Iterator[str]:
    """Yield the split that a file of a known format may belong to."""
    if _suffix(path):
        stem = _stem(path).removeprefix("data/")
        numbered = NUMBERED.fullmatch(stem)
        yield (numbered["head"] if numbered else stem).rstrip("/") or stem


def _suffix(path: str) -> str:
    return next((suffix for suffix in SUFFIXES if path.endswith(suffix)), "")


def _stem(path: str) -> str:
    suffix = _suffix(path) or PurePosixPath(path).suffix
    return path.removesuffix(suffix)


def _natural(path: str) -> list[tuple[str, int]]:
    """Sort numbers in a path by their value."""
    parts = re.split(r"(\d+)", path)
    return [(text, int(digits)) for text, digits in zip(parts[::2], [*parts[1::2], "0"], strict=True)]
