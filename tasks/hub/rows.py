"""Rows of a dataset: located, verified, chosen by seed, and written as a tree of their own.

Invariants:
- A dataset on the Hub is read at a commit, and each file is verified as for a checkpoint; a local file is
  identified by the digest of its content.
- Which rows are chosen depends only on the seed and the ids: rows are ranked by sha256("SEED:ID") and those
  of lowest rank are taken, so adding or reordering rows changes the choice as little as possible.
- The tree holds exactly what was read of the chosen rows, one line each, in the order of their rank: a user
  of the tree reads all of it, so its digest says which rows were used.
- Files are streamed; only the chosen rows are held in memory.

Only JSON Lines is read. The files of a split are `SPLIT.jsonl`, or shards `SPLIT-*.jsonl`, in the root of the
repository or in `data/`.
"""

import hashlib
import heapq
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from artifacts.canonical import digest_of, sha256_file
from artifacts.disk import disk_errors
from artifacts.frozen import Frozen
from artifacts.progress import Say
from engine_specs.spec import RowSource
from tasks.errors import TextsInvalid
from tasks.hub.access import HubAccess
from tasks.hub.client import Repository, download, list_files, resolve_revision
from tasks.hub.selection import HubFile

REPORT_FILE = "texts_report.json"


class Row(Frozen):
    """What is read of one row."""

    id: str = Field(description="The row's `id`, or FILE:LINE if it has none.")


RowT = TypeVar("RowT", bound=Row)
ReadRow = Callable[[dict[str, Any], str], RowT]
"""Reads a row; the second argument is FILE:LINE, for messages, and the id of a row that has none."""


class HubTexts(Frozen):
    """A dataset on the Hub, at the commit that is read."""

    kind: Literal["hub"] = "hub"
    repo: Repository = Field(description="The dataset.")
    commit: str = Field(description="Commit that is read.")
    reason: str = Field(description="How the commit was chosen.")

    @property
    def identity(self) -> dict[str, str]:
        """What identifies it in a fingerprint."""
        return {"dataset": self.repo.id, "commit": self.commit}


class LocalTexts(Frozen):
    """A file on this host, identified by its content."""

    kind: Literal["local"] = "local"
    path: Path = Field(description="Path of the file.")
    sha256: str = Field(description="Digest of its content.")

    @property
    def identity(self) -> dict[str, str]:
        """What identifies it in a fingerprint: its content, not its path."""
        return {"sha256": self.sha256}


Location = HubTexts | LocalTexts


class TextsReport(Frozen):
    """Which texts were chosen."""

    identity: dict[str, str] = Field(description="Dataset and commit, or the digest of a local file.")
    split: str | None = Field(description="Split of the dataset.")
    files: tuple[str, ...] = Field(description="Files that were read.")
    rows: int = Field(ge=0, description="Number of rows to choose from.")
    seed: int = Field(description="Seed of the choice.")
    sample_ids: tuple[str, ...] = Field(description="Ids of the chosen texts, in order.")
    sample_digest: str = Field(description="Digest of ids and texts.")


def locate(source: RowSource, *, base_dir: Path, access: HubAccess) -> Location:
    """Determine the commit or file that a source means at this moment.

    Args:
        source: the source, as a spec names it.
        base_dir: directory that a local path is relative to: that of the spec.
        access: the Hub.

    Raises:
        RevisionNotPinned, CheckpointUnavailable, HubUnreachable: see `tasks.hub.client`.
        TextsInvalid: the local file does not exist.
    """
    if source.path is not None:
        path = base_dir / source.path
        if not path.is_file():
            raise TextsInvalid(
                f"there is no file {source.path}", where=str(path), fix="check `path` in the spec"
            )
        return LocalTexts(path=path, sha256=sha256_file(path))
    repo = Repository(kind="dataset", id=str(source.dataset))
    resolved = resolve_revision(repo, str(source.revision), track=source.track, access=access)
    return HubTexts(repo=repo, commit=resolved.commit, reason=resolved.reason)


def fetch_rows(
    source: RowSource,
    location: Location,
    dest: Path,
    *,
    read: ReadRow[RowT],
    file_name: str,
    access: HubAccess,
    say: Say,
) -> TextsReport:
    """Choose the rows that a source asks for, and write what `read` makes of them to `dest` with a report.

    Raises:
        TextsInvalid: no such split, unsupported format, a row that `read` refuses, too few rows, or repeated
            ids.
        CheckpointCorrupt, CheckpointUnavailable, HubUnreachable: see `tasks.hub.client`.
        LocalDiskError: the disk is full or not writable.
    """
    files = _bring(source, location, access, say)
    counted = _Counted(_rows(files, read))
    chosen = choose(counted, source.samples, source.seed)
    where = location.repo.at(location.commit) if isinstance(location, HubTexts) else str(location.path)
    _require(chosen, source.samples, where)
    report = TextsReport(
        identity=location.identity,
        split=source.split,
        files=tuple(files),
        rows=counted.count,
        seed=source.seed,
        sample_ids=tuple(row.id for row in chosen),
        sample_digest=digest_of([row.model_dump(mode="json") for row in chosen]),
    )
    with disk_errors(dest):
        dest.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row.model_dump(mode="json"), ensure_ascii=False) + "\n" for row in chosen)
        (dest / file_name).write_text("".join(lines), encoding="utf-8")
        (dest / REPORT_FILE).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return report


def choose(rows: Iterable[RowT], samples: int, seed: int) -> tuple[RowT, ...]:
    """Return the `samples` rows of lowest rank, in the order of rank, or all if there are fewer."""

    def rank(row: RowT) -> str:
        return hashlib.sha256(f"{seed}:{row.id}".encode()).hexdigest()

    return tuple(heapq.nsmallest(samples, rows, key=rank))


def split_files(files: Iterable[HubFile], split: str, *, where: str) -> tuple[HubFile, ...]:
    """Return the JSON Lines files of a split.

    Raises:
        TextsInvalid: there are none; the message says what there is instead.
    """
    name = re.compile(rf"(data/)?{re.escape(split)}(-[^/]*)?")
    found = [file for file in files if name.fullmatch(str(PurePosixPath(file.path).with_suffix("")))]
    readable = tuple(file for file in found if file.path.endswith(".jsonl"))
    if readable:
        return readable
    if found:
        what = f"split {split!r} has only these files: {', '.join(file.path for file in found)}"
        fix = "only JSON Lines (.jsonl) is read: pin a revision that has it, or give a local file with `path`"
    else:
        what, fix = f"the dataset has no split {split!r}", f"name a split whose file is `{split}.jsonl`"
    raise TextsInvalid(what, where=where, fix=fix)


def parse_line(line: bytes, place: str) -> dict[str, Any]:
    """Return the row in one line; `place` is FILE:LINE.

    Raises:
        TextsInvalid: it is not a JSON object.
    """
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise TextsInvalid(
            f"this line is not JSON: {error}", where=place, fix="write one JSON object per line"
        ) from error
    if not isinstance(row, dict):
        raise TextsInvalid(
            f"this row is not an object but {type(row).__name__}",
            where=place,
            fix="write one JSON object per line",
        )
    return row


def _bring(source: RowSource, location: Location, access: HubAccess, say: Say) -> dict[str, Path]:
    """Return the verified files of a source on this host, by their names."""
    if isinstance(location, LocalTexts):
        return {location.path.name: location.path}
    where = location.repo.at(location.commit)
    files = split_files(list_files(location.repo, location.commit, access), str(source.split), where=where)
    return {file.path: download(location.repo, location.commit, file, access, say) for file in files}


def _rows(files: dict[str, Path], read: ReadRow[RowT]) -> Iterator[RowT]:
    for name, path in files.items():
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                place = f"{name}:{number}"
                if line.strip():
                    yield read(parse_line(line, place), place)


def _require(chosen: tuple[Row, ...], samples: int, where: str) -> None:
    if len(chosen) < samples:
        raise TextsInvalid(
            f"{samples} texts are needed, but there are only {len(chosen)}",
            where=where,
            fix=f"set `samples` to at most {len(chosen)}",
        )
    ids = [row.id for row in chosen]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise TextsInvalid(
            f"repeated ids: {', '.join(repeated[:5])}", where=where, fix="give each row its own id"
        )


class _Counted(Generic[RowT]):
    """An iterable that counts its items."""

    def __init__(self, rows: Iterable[RowT]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[RowT]:
        for row in self._rows:
            self.count += 1
            yield row
