"""Rows of a dataset: located, verified, chosen by seed, and written as a tree of their own.

Invariants:
- A dataset on the Hub is read at a commit, and each file is verified as for a checkpoint; a local file is
  identified by the digest of its content.
- Which rows are chosen depends only on the seed and the ids: rows are ranked by sha256("SEED:ID") and those
  of lowest rank are taken, so adding or reordering rows changes the choice as little as possible.
- The tree holds exactly what was read of the chosen rows, one line each, in the order of their rank: a user
  of the tree reads all of it, so its digest says which rows were used.
- Files are streamed; only the chosen rows are held in memory, and 8 bytes of the digest of each id.
- Ids are unique: a row whose id is null, or which shares it with another row, is known by its place.
- Rows with nothing to use are left out, counted and reported.
"""

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
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
from tasks.hub.row_files import FileRow, read_rows, split_files

REPORT_FILE = "texts_report.json"


class Row(Frozen):
    """What is read of one row."""

    id: str = Field(description="The row's `id`, or FILE:LINE if it has none of its own.")


RowT = TypeVar("RowT", bound=Row)
ReadRow = Callable[[dict[str, Any], str], RowT]
"""Reads a row; the second argument is FILE:LINE. Raises `RowUnusable` for a row that is to be left out."""


class RowUnusable(Exception):
    """A row has nothing to use.

    Args:
        reason: by which such rows are counted.
        detail: what this one has.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


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
    left_out: dict[str, int] = Field(default={}, description="Number of rows that were left out, by reason.")
    replaced: int = Field(
        default=0, ge=0, description="Number of rows in which U+FFFD replaces half a surrogate pair."
    )
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
    fields: Collection[str],
    file_name: str,
    access: HubAccess,
    say: Say,
) -> TextsReport:
    """Choose the rows that a source asks for, and write what `read` makes of them to `dest` with a report.

    Args:
        source: names the split and the number of rows.
        location: where the split is.
        dest: a new directory.
        read: makes of a row what is kept.
        fields: the fields that `read` uses.
        file_name: name of the file in `dest`.
        access: the Hub.
        say: takes lines of progress.

    Raises:
        TextsInvalid: no such split, unsupported format, a row that `read` refuses, or too few rows.
        CheckpointCorrupt, CheckpointUnavailable, HubUnreachable: see `tasks.hub.client`.
        LocalDiskError: the disk is full or not writable.
    """
    files = _bring(source, location, access, say)
    chosen, reading = _choose(files, read, fields, source)
    where = location.repo.at(location.commit) if isinstance(location, HubTexts) else str(location.path)
    for line in reading.remarks():
        say(line)
    _require(len(chosen), reading, source, where)
    report = TextsReport(
        identity=location.identity,
        split=source.split,
        files=tuple(files),
        rows=reading.count,
        left_out=dict(reading.left_out),
        replaced=reading.replaced,
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


def name_of(row: Mapping[str, Any], place: str) -> str:
    """Return the id of a row: its own, or its place if that is missing, null or empty."""
    name = row.get("id")
    return place if name is None or name == "" else str(name)


def _bring(source: RowSource, location: Location, access: HubAccess, say: Say) -> dict[str, Path]:
    """Return the verified files of a source on this host, by their names."""
    if isinstance(location, LocalTexts):
        return {location.path.name: location.path}
    where = location.repo.at(location.commit)
    files = split_files(list_files(location.repo, location.commit, access), str(source.split), where=where)
    return {file.path: download(location.repo, location.commit, file, access, say) for file in files}


def _choose(
    files: Mapping[str, Path], read: ReadRow[RowT], fields: Collection[str], source: RowSource
) -> "tuple[tuple[RowT, ...], _Reading[RowT]]":
    """Read the files and choose rows; once more if rows share ids, as they have other ids then."""
    shared: frozenset[int] = frozenset()
    while True:
        reading = _Reading(files, read, fields, shared)
        chosen = choose(reading, source.samples, source.seed)
        if reading.shared <= shared:
            return chosen, reading
        shared = frozenset(reading.shared)


def _require(found: int, reading: "_Reading[RowT]", source: RowSource, where: str) -> None:
    if found >= source.samples:
        return
    why = "".join(f"; {line}" for line in reading.remarks())
    fix = f"set `samples` to at most {found}" if found else "set `text_field` to the field that holds texts"
    raise TextsInvalid(
        f"{source.samples} texts are needed, but there are only {found}{why}", where=where, fix=fix
    )


class _Reading(Generic[RowT]):
    """The rows of some files, read once, and what is found on the way.

    Args:
        files: the files, by name.
        read: makes of a row what is kept.
        fields: the fields that it uses.
        known: digests of ids that several rows share.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        read: ReadRow[RowT],
        fields: Collection[str],
        known: frozenset[int],
    ) -> None:
        self._files, self._read, self._fields, self._known = files, read, fields, known
        self._seen: set[int] = set()
        self._examples: dict[str, str] = {}
        self.shared: set[int] = set()
        self.left_out: Counter[str] = Counter()
        self.count = self.replaced = 0

    def __iter__(self) -> Iterator[RowT]:
        for name, path in self._files.items():
            for row in read_rows(path, name, self._fields):
                self.replaced += row.replaced
                made = self._made(row)
                if made is not None:
                    self.count += 1
                    yield made

    def remarks(self) -> Iterator[str]:
        """Yield what a user should know about the rows."""
        for reason, count in self.left_out.items():
            yield f"rows left out, {reason}: {count} (the first is {self._examples[reason]})"
        if self.replaced:
            yield f"rows with half a surrogate pair, which U+FFFD replaces: {self.replaced}"

    def _made(self, row: FileRow) -> RowT | None:
        try:
            made = self._read(row.fields, row.place)
        except RowUnusable as error:
            self.left_out[error.reason] += 1
            self._examples.setdefault(error.reason, f"{row.place}: {error}")
            return None
        if made.id == row.place:
            return made
        digest = _short_digest(made.id)
        if digest in self._seen:
            self.shared.add(digest)
        self._seen.add(digest)
        return made.model_copy(update={"id": row.place}) if digest in self._known else made


def _short_digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
