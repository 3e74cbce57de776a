"""Fetching a checkpoint: from a commit on the Hub to a clean directory of verified files.

Invariants:
- The directory holds exactly the selected files, none of them a symbolic link, each verified against the
  Hub's digest.
- Facts for pre-flight (`metadata`) cost a listing, a few small files and headers of weights, never weights.
"""

import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from pydantic import Field

from artifacts.disk import disk_errors, link_or_copy, require_space
from artifacts.frozen import Frozen
from artifacts.progress import Say
from engine_specs.preflight import (
    CONTENT_FILE,
    SIDECARS,
    TEMPLATE_FILE,
    TOKENIZER_FILE,
    SmallFiles,
    needs_content,
    outline,
)
from tasks.errors import CheckpointUnsupported
from tasks.hub.access import HubAccess
from tasks.hub.client import Repository, download, list_files
from tasks.hub.headers import tensor_types
from tasks.hub.selection import (
    CONFIG_FILE,
    INDEX_FILE,
    HubFile,
    Selection,
    read_index,
    read_names,
    select_files,
)
from tasks.hub.transfer import kept_bytes

PARALLEL_DOWNLOADS = 4
# What pre-flight reads besides config.json: who quantized the weights, and which class reads the tokenizer.
SMALL_FILES = (*SIDECARS, TOKENIZER_FILE)


class CheckpointFacts(Frozen):
    """What is known about a checkpoint without its weights."""

    commit: str = Field(description="Commit that was read.")
    config: dict[str, Any] = Field(description="Content of config.json.")
    file_bytes: dict[str, int] = Field(description="Size of each file that would be fetched, by path.")
    small: SmallFiles = Field(
        default=SmallFiles(),
        description="Its other small files, and types of tensors, as far as they were read.",
    )


class FetchReport(Frozen):
    """What was fetched, and what was left out."""

    repo: Repository = Field(description="Where it came from.")
    commit: str = Field(description="Commit that was fetched.")
    selection: Selection = Field(description="The files, and those left out, with reasons.")
    total_bytes: int = Field(description="Size of all files.")


def metadata(repo: Repository, commit: str, access: HubAccess, say: Say) -> CheckpointFacts:
    """Read a checkpoint's configuration and file sizes; raise what `fetch` raises before it reads weights."""
    selection = select(repo, commit, access, say)
    config_file = next(file for file in selection.files if file.path == CONFIG_FILE)
    content = download(repo, commit, config_file, access, say).read_bytes()
    return CheckpointFacts(
        commit=commit,
        config=_read_config(content, repo.at(commit)),
        file_bytes={file.path: file.size_bytes for file in selection.files},
        small=_small_files(repo, commit, selection, access, say),
    )


def tokenizer_content(repo: Repository, commit: str, access: HubAccess, say: Say) -> dict[str, Any]:
    """Read tokenizer.json of a checkpoint, empty if it has none; raise what `metadata` raises."""
    files = {file.path: file for file in select(repo, commit, access, say).files}
    if CONTENT_FILE not in files:
        return {}
    content = download(repo, commit, files[CONTENT_FILE], access, say).read_bytes()
    return read_object(content, CONTENT_FILE, repo.at(commit))


def read_small(present: Collection[str], read: Callable[[str], bytes], where: str) -> SmallFiles:
    """Read the small files among those that are present; of tokenizer.json no more than pre-flight needs.

    Args:
        present: paths of the checkpoint's files.
        read: reads a file.
        where: the checkpoint, for messages.

    Raises:
        CheckpointUnsupported: one of them is not a JSON object.
    """

    def content(path: str) -> dict[str, Any]:
        return read_object(read(path), path, where)

    contents = {path: content(path) for path in SMALL_FILES if path in present}
    if CONTENT_FILE in present and needs_content(contents.get(TOKENIZER_FILE, {})):
        contents[CONTENT_FILE] = outline(content(CONTENT_FILE))
    template = read(TEMPLATE_FILE).decode(errors="replace") if TEMPLATE_FILE in present else ""
    return SmallFiles(json_files=contents, template=template)


def _small_files(
    repo: Repository, commit: str, selection: Selection, access: HubAccess, say: Say
) -> SmallFiles:
    files = {file.path: file for file in selection.files}

    def read(path: str) -> bytes:
        return download(repo, commit, files[path], access, say).read_bytes()

    weights = [file for path, file in files.items() if path.endswith(".safetensors")]
    small, types = read_small(files, read, repo.at(commit)), tensor_types(repo, commit, weights, access)
    named = read_names(read(INDEX_FILE), repo.at(commit)) if INDEX_FILE in files else frozenset(types)
    return small.model_copy(update={"tensor_types": types, "tensors": named})


def select(repo: Repository, commit: str, access: HubAccess, say: Say) -> Selection:
    """List a repository and select the checkpoint's files.

    Raises:
        CheckpointUnsupported: see `tasks.hub.selection.select_files`.
        CheckpointUnavailable, HubUnreachable, CheckpointCorrupt: see `tasks.hub.client`.
    """
    files = list_files(repo, commit, access)
    index = next((file for file in files if file.path == INDEX_FILE), None)
    shards: frozenset[str] = frozenset()
    if index:
        shards = read_index(download(repo, commit, index, access, say).read_bytes(), repo.at(commit))
    return select_files(files, shards, where=repo.at(commit))


def fetch(repo: Repository, commit: str, dest: Path, access: HubAccess, say: Say) -> FetchReport:
    """Fetch a checkpoint into `dest`, an empty or new directory; its files must not be written to.

    Files are hard links to the client's cache if the file system allows that, and copies otherwise.

    Raises:
        CheckpointUnsupported, CheckpointUnavailable, CheckpointCorrupt, HubUnreachable: each says what to do.
        LocalDiskError: the disk is full or not writable.
    """
    selection = select(repo, commit, access, say)
    for refused in selection.refused:
        say(f"not fetched: {refused.path} ({refused.reason})")
    place(repo, commit, selection.files, dest, access, say)
    return FetchReport(repo=repo, commit=commit, selection=selection, total_bytes=selection.total_bytes)


def place(
    repo: Repository, commit: str, files: tuple[HubFile, ...], dest: Path, access: HubAccess, say: Say
) -> None:
    """Download files, a few at a time, and place them in `dest` under their own paths."""
    with disk_errors(dest):
        dest.mkdir(parents=True, exist_ok=True)
        access.cache_dir.mkdir(parents=True, exist_ok=True)
        require_space(access.cache_dir, _missing_bytes(repo, commit, files, access))

    def bring(file: HubFile) -> None:
        source = download(repo, commit, file, access, say)
        target = dest / file.path
        with disk_errors(dest):
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(source, target)
        say(f"{file.path}: {file.size_bytes} bytes, verified")

    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        jobs = [pool.submit(bring, file) for file in files]
        try:
            for job in jobs:
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _missing_bytes(repo: Repository, commit: str, files: tuple[HubFile, ...], access: HubAccess) -> int:
    """Return how many bytes of `files` the client's cache does not hold yet."""

    def cached(file: HubFile) -> bool:
        found = try_to_load_from_cache(
            repo.id, file.path, cache_dir=access.cache_dir, revision=commit, repo_type=repo.kind
        )
        return isinstance(found, str)

    missing = [file for file in files if not cached(file)]
    return sum(file.size_bytes - kept_bytes(repo.id, repo.kind, file, access) for file in missing)


def read_object(content: bytes, path: str, where: str) -> dict[str, Any]:
    """Read a JSON file of a checkpoint; raise CheckpointUnsupported if it is not a JSON object."""
    try:
        found = json.loads(content.decode("utf-8"))  # transformers takes no other encoding, and no mark of it
    except ValueError as error:
        raise CheckpointUnsupported(
            f"{path} is not JSON in UTF-8: {error}", where=where, fix="report it to the publisher"
        ) from error
    if not isinstance(found, dict):
        raise CheckpointUnsupported(
            f"{path} is not a JSON object", where=where, fix="report it to the publisher"
        )
    return found


def _read_config(content: bytes, where: str) -> dict[str, Any]:
    config = read_object(content, CONFIG_FILE, where)
    if not config.get("architectures"):
        raise CheckpointUnsupported(
            f"{CONFIG_FILE} names no architecture",
            where=where,
            fix="name a repository that holds a whole model, not an adapter or a part of one",
        )
    return config
