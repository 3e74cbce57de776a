"""Reading the Hugging Face Hub through its own client: revisions, listings, and verified files.

Invariants:
- Everything is read at a full commit id. A branch or tag is resolved once, and only if the spec tracks it.
- Before a file is used, it is compared with the digest that the Hub
  declares (SHA-256 for LFS, the git blob id otherwise); a damaged file is removed from the cache and fetched
  once more.
- Downloads go into the client's cache. What had arrived before an interruption is not fetched again.
- If the Hub says when to come back, it is asked again then.
"""

import re
from pathlib import Path
from typing import Literal

from huggingface_hub import DatasetInfo, HfApi, ModelInfo, hf_hub_url
from huggingface_hub.errors import HFValidationError
from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.errors import CheckpointCorrupt, CheckpointUnavailable, RevisionNotPinned
from tasks.hub.access import HubAccess
from tasks.hub.errors import hub_errors, no_listing
from tasks.hub.selection import HubFile
from tasks.hub.transfer import bring_blob, content_problem, patiently

COMMIT_ID = re.compile(r"[0-9a-f]{40}")


class Repository(Frozen):
    """A repository on the Hub."""

    kind: Literal["model", "dataset"] = Field(description="Type of the repository, as the Hub calls it.")
    id: str = Field(description="Owner and name, such as enginery/demo-llama.")

    def at(self, revision: str) -> str:
        """Name this repository at a revision, for messages."""
        return f"{self.kind} {self.id} at {revision}"


class Resolved(Frozen):
    """The commit that is used, and why this one."""

    commit: str = Field(description="Full commit id.")
    reason: str = Field(description="How it was chosen.")


def resolve_revision(repo: Repository, revision: str, *, track: bool, access: HubAccess) -> Resolved:
    """Turn the revision of a spec into a commit.

    Raises:
        RevisionNotPinned: it is a branch or tag, and `track` is not set; says which commit it names now.
        CheckpointUnavailable, HubUnreachable: see `tasks.hub.errors`.
    """
    if COMMIT_ID.fullmatch(revision):
        return Resolved(commit=revision, reason="pinned by the spec")
    commit = _info(repo, revision, access, files=False).sha or ""
    if not track:
        raise RevisionNotPinned(
            f"revision {revision!r} of {repo.kind} {repo.id} is a branch or tag, which can move",
            where=repo.at(revision),
            fix=f"pin `revision: {commit}`, the commit that it names now, or set `track: true`",
        )
    return Resolved(commit=commit, reason=f"{revision!r} is tracked and names this commit now")


def list_files(repo: Repository, commit: str, access: HubAccess) -> tuple[HubFile, ...]:
    """Return every file of a repository at a commit, sorted by path, with its size and digest.

    Paths are as the Hub lists them: who selects a file checks that its path can be written.
    """
    files = []
    for entry in _info(repo, commit, access, files=True).siblings or ():
        if entry.size is None or entry.blob_id is None:
            raise CheckpointUnavailable(
                f"the Hub lists {entry.rfilename!r} without size or digest",
                where=repo.at(commit),
                fix=f"check that {access.endpoint} speaks the Hub's API",
            )
        sha256 = entry.lfs["sha256"] if entry.lfs else None
        files.append(
            HubFile(path=entry.rfilename, size_bytes=entry.size, blob_id=entry.blob_id, sha256=sha256)
        )
    return tuple(sorted(files, key=lambda file: file.path))


def download(repo: Repository, commit: str, file: HubFile, access: HubAccess, say: Say) -> Path:
    """Download one file into the client's cache and verify it; return its path there, a plain file.

    Raises:
        CheckpointCorrupt: the file was damaged twice in a row, or is too short each time.
        CheckpointUnavailable, HubUnreachable: see `tasks.hub.errors`.
    """
    problem = ""
    for _ in range(2):
        with hub_errors(f"{file.path} of {repo.at(commit)}", access):
            url = file_url(repo, commit, file, access)
            pointer = bring_blob(repo.id, repo.kind, commit, file, url, access)
        problem = content_problem(pointer, file)
        if not problem:
            return pointer.resolve()
        _forget(pointer)
        say(f"{file.path}: {problem}; removed from the cache")
    raise CheckpointCorrupt(
        f"{file.path} arrived damaged twice: {problem}",
        where=f"{repo.at(commit)}, from {access.endpoint}",
        fix="a proxy or mirror before the Hub alters bytes: try another HF_ENDPOINT or network",
    )


def _info(repo: Repository, revision: str, access: HubAccess, *, files: bool) -> ModelInfo | DatasetInfo:
    api = HfApi(endpoint=access.endpoint, token=access.token or False)
    ask = api.model_info if repo.kind == "model" else api.dataset_info

    def listing() -> ModelInfo | DatasetInfo:
        try:
            return ask(repo.id, revision=revision, files_metadata=files, timeout=access.timeout_s)
        except HFValidationError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise no_listing(error, repo.at(revision), access) from error

    with hub_errors(repo.at(revision), access):
        return patiently(listing)


def file_url(repo: Repository, commit: str, file: HubFile, access: HubAccess) -> str:
    """Return the address of a file."""
    return hf_hub_url(repo.id, file.path, repo_type=repo.kind, revision=commit, endpoint=access.endpoint)


def _forget(pointer: Path) -> None:
    """Remove a file from the client's cache: the link in the snapshot, and the blob that it points to."""
    pointer.resolve().unlink(missing_ok=True)
    pointer.unlink(missing_ok=True)
