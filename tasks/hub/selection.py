"""Which files of a model repository make the checkpoint that is fetched, and why the others do not.

Invariants:
- Code never runs from a checkpoint, so nothing that can hold code is taken: no pickles, no Python files.
- Weights are the safetensors that the index names, or the single file; never a second format of them.
- Every file of the repository ends up either selected or refused with its reason.
"""

import json
from collections.abc import Iterable
from pathlib import PurePosixPath

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.errors import CheckpointUnsupported

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
# What transformers and vLLM read beside the weights: JSON, text, and SentencePiece's tokenizer.model.
SIDE_FILES = frozenset(
    {
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
    }
)
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
OTHER_FORMAT_SUFFIXES = frozenset({".gguf", ".ggml", ".onnx", ".h5", ".msgpack", ".tflite"})


class HubFile(Frozen):
    """One file of a repository at a commit, as the Hub's listing describes it."""

    path: str = Field(description="Path inside the repository.")
    size_bytes: int = Field(ge=0, description="Size of the content.")
    blob_id: str = Field(description="Git blob id; of an LFS file that of its pointer.")
    sha256: str | None = Field(default=None, description="SHA-256 of the content, for LFS files.")


class RefusedFile(Frozen):
    """A file that is not fetched."""

    path: str = Field(description="Path inside the repository.")
    reason: str = Field(description="Why it is left out.")


class Selection(Frozen):
    """The files to fetch, and every other file with the reason why it is not."""

    files: tuple[HubFile, ...] = Field(description="What is fetched, sorted by path.")
    refused: tuple[RefusedFile, ...] = Field(description="What is not, sorted by path.")

    @property
    def total_bytes(self) -> int:
        """Size of all files that are fetched."""
        return sum(file.size_bytes for file in self.files)


def read_index(content: bytes, where: str) -> frozenset[str]:
    """Read the shards that a safetensors index names; CheckpointUnsupported where it is no such index."""
    fix = "the index must be JSON with a `weight_map` from tensor names to files: report it to the publisher"
    try:
        weight_map = json.loads(content)["weight_map"]
        shards = frozenset(str(name) for name in weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointUnsupported(
            f"{INDEX_FILE} cannot be read: {error!r}", where=where, fix=fix
        ) from error
    if not shards:
        raise CheckpointUnsupported(f"{INDEX_FILE} names no file", where=where, fix=fix)
    return shards


def select_files(files: Iterable[HubFile], shards: frozenset[str], *, where: str) -> Selection:
    """Select the files of a checkpoint.

    Args:
        files: the repository's listing at one commit.
        shards: the files that the safetensors index names; empty where the repository has no index.
        where: repository and commit, for messages.

    Raises:
        CheckpointUnsupported: no config, no safetensors (what there is instead is named), or a shard of the
            index is missing from the repository.
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
    return Selection(
        files=tuple(listing[path] for path in sorted(listing) if path in wanted),
        refused=tuple(
            RefusedFile(path=path, reason=_refusal(path)) for path in sorted(listing) if path not in wanted
        ),
    )


def _weights(paths: frozenset[str], shards: frozenset[str], where: str) -> frozenset[str]:
    """Paths of the weights, or CheckpointUnsupported saying what the repository has instead."""
    if missing := sorted(shards - paths):
        raise CheckpointUnsupported(
            f"{INDEX_FILE} names {', '.join(missing)}, which the repository does not have",
            where=where,
            fix="pin a commit whose upload was finished",
        )
    if shards:
        return shards
    if SINGLE_FILE in paths:
        return frozenset({SINGLE_FILE})
    pickles = sorted(path for path in paths if PurePosixPath(path).suffix in PICKLE_SUFFIXES)
    found = f"only pickled weights ({', '.join(pickles)})" if pickles else "no weights that can be read"
    raise CheckpointUnsupported(
        f"the repository has {found}; neither {SINGLE_FILE} nor {INDEX_FILE}",
        where=where,
        fix="pickles can run code and are never loaded: pin a commit with safetensors (often a `refs/pr/N` "
        "made by the Hub's conversion bot), or convert a trusted copy and upload it",
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
        return "in a folder, where no file of the checkpoint lies"
    return "no part of configuration, tokenizer or weights"
