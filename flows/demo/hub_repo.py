"""Repositories of the demo Hub: directories on disk, read as git commits with LFS pointers.

Invariants:
- `ROOT/<owner>/<name>` is a model, `ROOT/datasets/<owner>/<name>` a dataset; nothing else is a repository.
- A repository's commit id is that of a real git commit over real git trees, with a fixed author and date: the
  same bytes have the same commit everywhere, and changing any byte changes the commit.
- Large binary formats are LFS files: the tree holds their pointer, the API their sha256, as on the Hub.
- `.hub.json` next to the files says who may read them; no dot file is part of the repository.

Objects have git's format (`<type> <size>\\0<content>`, sha1); LFS pointers have version 1.

`python -m flows.demo.hub_repo` prints the revisions that a spec of the demo must pin.
"""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

RepoKind = Literal["model", "dataset"]

DEMO_HUB = Path(__file__).parent / "hub"
ACCESS_FILE = ".hub.json"
LFS_SUFFIXES = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".parquet", ".h5", ".msgpack"}
)
LFS_ABOVE_BYTES = 10_000_000
SIGNATURE = "enginery demo <demo@localhost> 1767225600 +0000"
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One file of a commit; `sha256` is set for LFS files, whose `blob_id` is that of the pointer."""

    path: str
    source: Path
    size_bytes: int
    blob_id: str
    sha256: str | None = None
    pointer_bytes: int = 0

    @property
    def etag(self) -> str:
        """The ETag that the Hub sends: the LFS digest, or the blob id."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read a repository: everyone, or whoever sends one of `tokens`.

    Everyone can see the listing of a gated repository; without a token, a private one does not exist.
    """

    mode: Literal["public", "gated", "private"] = "public"
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repo:
    """One repository at its only commit, which its `main` branch and all of its `tags` point to."""

    kind: RepoKind
    id: str
    commit: str
    files: tuple[RepoFile, ...]
    access: Access = field(default_factory=Access)
    tags: tuple[str, ...] = ()

    def has_revision(self, revision: str) -> bool:
        """Return whether a branch, tag or commit id names this commit."""
        return revision in {"main", self.commit, *self.tags}

    def file(self, path: str) -> RepoFile | None:
        """Return the file at `path`, if there is one."""
        return next((file for file in self.files if file.path == path), None)


def read_hub(root: Path) -> dict[tuple[RepoKind, str], Repo]:
    """Read every repository under `root`, by kind and id."""
    folders: list[tuple[RepoKind, Path]] = [
        ("model", folder) for folder in root.glob("*/*") if folder.parent.name != "datasets"
    ]
    folders += [("dataset", folder) for folder in root.glob("datasets/*/*")]
    repos = [
        read_repo(kind, folder)
        for kind, folder in sorted(folders)
        if folder.is_dir() and not folder.name.startswith(".")
    ]
    return {(repo.kind, repo.id): repo for repo in repos}


def read_repo(kind: RepoKind, folder: Path) -> Repo:
    """Read one repository; its id is the name of the parent folder and that of the folder."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(folder)))
    files = tuple(_read_file(folder, path) for path in paths)
    access, tags = _read_access(folder / ACCESS_FILE)
    repo_id = f"{folder.parent.name}/{folder.name}"
    return Repo(kind, repo_id, commit_id(files), files, access=access, tags=tags)


def commit_id(files: tuple[RepoFile, ...]) -> str:
    """Return the id of the git commit that holds exactly these files."""
    tree = _tree_id([(file.path.split("/"), file.blob_id) for file in files])
    content = f"tree {tree}\nauthor {SIGNATURE}\ncommitter {SIGNATURE}\n\nAll files\n"
    return _object_id("commit", content.encode())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_file(folder: Path, source: Path) -> RepoFile:
    path, size_bytes = source.relative_to(folder).as_posix(), source.stat().st_size
    if source.suffix not in LFS_SUFFIXES and size_bytes <= LFS_ABOVE_BYTES:
        return RepoFile(path, source, size_bytes, _object_id("blob", source.read_bytes()))
    sha256 = _sha256(source)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n".encode()
    return RepoFile(path, source, size_bytes, _object_id("blob", pointer), sha256, len(pointer))


def _read_access(file: Path) -> tuple[Access, tuple[str, ...]]:
    """Read {"mode", "tokens", "tags"}, all optional; a repository without the file is public."""
    document = json.loads(file.read_text()) if file.exists() else {}
    access = Access(document.get("mode", "public"), tuple(document.get("tokens", ())))
    return access, tuple(document.get("tags", ()))


def _sha256(source: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _tree_id(entries: list[tuple[list[str], str]]) -> str:
    """Return the id of the git tree with these (path parts, blob id) entries.

    Git sorts a folder as if it were named `NAME/`.
    """
    rows: list[tuple[bytes, bytes]] = []
    folders: dict[str, list[tuple[list[str], str]]] = {}
    for (name, *rest), blob_id in entries:
        if rest:
            folders.setdefault(name, []).append((rest, blob_id))
        else:
            rows.append((name.encode(), b"100644 %s\0%s" % (name.encode(), bytes.fromhex(blob_id))))
    for name, inner in folders.items():
        row = b"40000 %s\0%s" % (name.encode(), bytes.fromhex(_tree_id(inner)))
        rows.append((name.encode() + b"/", row))
    return _object_id("tree", b"".join(row for _, row in sorted(rows)))


def _object_id(kind: str, content: bytes) -> str:
    head = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def main() -> None:
    """Print kind, id and commit of every repository of the demo Hub."""
    for repo in read_hub(DEMO_HUB).values():
        sys.stdout.write(f"{repo.kind} {repo.id} {repo.commit}\n")


if __name__ == "__main__":
    main()
