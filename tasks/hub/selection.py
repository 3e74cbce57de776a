"""Which files of a model repository are fetched as the checkpoint, and why the others are not.

Invariants:
- Code from a checkpoint is never run, so nothing that can hold code is fetched: no pickles, no Python files.
- Weights are the safetensors files that the index names, or the single file; never in a second format.
- Every file of the repository is either selected, or left out with a reason.
"""

import json
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.store import path_problem
from engine_specs.preflight import SIDECARS
from tasks.errors import CheckpointUnsupported

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
SHARD = re.compile(r"[^/]+-\d+-of-\d+\.safetensors")
# What transformers and vLLM read besides the weights: JSON, text, and SentencePiece's tokenizer.model; of
# models that also read images, the sizes of these; and what quantizers write, by which pre-flight knows them.
SIDE_FILES = frozenset(
    {
        *SIDECARS,
        CONFIG_FILE,
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.model",
        "chat_template.jinja",
        "chat_template.json",
        "preprocessor_config.json",
        "processor_config.json",
    }
)
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
OTHER_FORMAT_SUFFIXES = frozenset({".gguf", ".ggml", ".onnx", ".h5", ".msgpack", ".tflite"})


class HubFile(Frozen):
    """One file of a repository at a commit, as the Hub's listing describes it."""

    path: str = Field(description="Path inside the repository.")
    size_bytes: int = Field(ge=0, description="Size of the content.")
    blob_id: str = Field(description="Git blob id; for an LFS file, that of its pointer.")
    sha256: str | None = Field(default=None, description="SHA-256 of the content, for LFS files.")


class RefusedFile(Frozen):
    """A file that is not fetched."""

    path: str = Field(description="Path inside the repository.")
    reason: str = Field(description="Why it is left out.")


class Selection(Frozen):
    """The files to fetch, and all other files, each with the reason why it is left out."""

    files: tuple[HubFile, ...] = Field(description="Files that are fetched, sorted by path.")
    refused: tuple[RefusedFile, ...] = Field(description="Files that are not, sorted by path.")

    @property
    def total_bytes(self) -> int:
        """The size of all files that are fetched."""
        return sum(file.size_bytes for file in self.files)


def read_index(content: bytes, where: str) -> frozenset[str]:
    """Return the shards that a safetensors index names; raise CheckpointUnsupported if it is not one."""
    return frozenset(str(name) for name in _weight_map(content, where).values())


def read_names(content: bytes, where: str) -> frozenset[str]:
    """Return the tensors that a safetensors index names; raise CheckpointUnsupported if it is not one."""
    return frozenset(_weight_map(content, where))


def _weight_map(content: bytes, where: str) -> dict[str, Any]:
    fix = "report it to the publisher: the index must be JSON with a `weight_map` from tensor names to files"
    try:
        weight_map = dict(json.loads(content)["weight_map"].items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointUnsupported(
            f"{INDEX_FILE} cannot be read: {error!r}", where=where, fix=fix
        ) from error
    if not weight_map:
        raise CheckpointUnsupported(f"{INDEX_FILE} names no file", where=where, fix=fix)
    return weight_map


def select_files(files: Iterable[HubFile], shards: frozenset[str], *, where: str) -> Selection:
    """Select the files of a checkpoint.

    Args:
        files: the repository's listing at one commit.
        shards: the files that the safetensors index names; empty if the repository has no index.
        where: repository and commit, for messages.

    Raises:
        CheckpointUnsupported: there is no config or no safetensors file (the message names what there is
            instead), or a shard of the index is missing from the repository.
    """
    listing = {file.path: file for file in files}
    if CONFIG_FILE not in listing:
        raise CheckpointUnsupported(
            f"the repository has no {CONFIG_FILE}",
            where=where,
            fix="name a repository in transformers' format",
        )
    weights = _weights(frozenset(listing), shards, where)
    wanted = SIDE_FILES | weights | ({INDEX_FILE} if shards else set())
    _require_safe(wanted & listing.keys(), where)
    return Selection(
        files=tuple(listing[path] for path in sorted(listing) if path in wanted),
        refused=tuple(
            RefusedFile(path=path, reason=_refusal(path)) for path in sorted(listing) if path not in wanted
        ),
    )


def _weights(paths: frozenset[str], shards: frozenset[str], where: str) -> frozenset[str]:
    """Return the paths of the weights; raise CheckpointUnsupported, naming what there is instead."""
    if missing := sorted(shards - paths):
        raise CheckpointUnsupported(
            f"{INDEX_FILE} names {', '.join(missing)}, which the repository does not have",
            where=where,
            fix="pin a commit whose upload was completed",
        )
    if shards:
        return shards
    if SINGLE_FILE in paths:
        return frozenset({SINGLE_FILE})
    pickles = sorted(path for path in paths if PurePosixPath(path).suffix in PICKLE_SUFFIXES)
    found = f"only pickled weights ({', '.join(pickles)})" if pickles else "no weights that can be read"
    if parts := sorted(path for path in paths if SHARD.fullmatch(path)):
        raise CheckpointUnsupported(
            f"the repository has {len(parts)} shards ({parts[0]} to {parts[-1]}) but no {INDEX_FILE}",
            where=where,
            fix="pin a commit whose upload was completed: the index says which tensor is in which shard",
        )
    raise CheckpointUnsupported(
        f"the repository has {found}; neither {SINGLE_FILE} nor {INDEX_FILE}",
        where=where,
        fix="pin a commit with safetensors (often a `refs/pr/N` made by the Hub's conversion bot), or "
        "convert a trusted copy and upload it: pickles can run code and are never loaded",
    )


def _require_safe(paths: Iterable[str], where: str) -> None:
    """Refuse weights under a path that cannot be written; a name that is left on the Hub may be any."""
    for path in paths:
        if problem := path_problem(path):
            raise CheckpointUnsupported(
                f"{INDEX_FILE} names {path!r}, which {problem}", where=where, fix="report it to the publisher"
            )


def _refusal(path: str) -> str:
    name, suffix = PurePosixPath(path), PurePosixPath(path).suffix
    if suffix in PICKLE_SUFFIXES:
        return "a pickle, which can run code when it is loaded"
    if suffix == ".py":
        return "code: checkpoints that need their own code are not supported"
    if suffix == ".safetensors":
        return "weights that the index does not name: a second copy, an adapter or another format"
    if suffix in OTHER_FORMAT_SUFFIXES:
        return "the weights in another format"
    if len(name.parts) > 1:
        return "in a folder, where checkpoints have no files"
    return "not part of the configuration, tokenizer or weights"
