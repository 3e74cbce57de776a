"""Checkpoints whose metadata ships with this package: what pre-flight needs, without asking the Hub.

Invariants:
- Every group of facts names its source; a size that nobody quotes is derived, and its source says how.
- A revision is given only if it was looked up; null means that nobody did.
- `config` is the whole config.json: rendered as the Hub holds it, it has the digest `config_sha256`.
- These facts are for planning only: what is built is always fetched, and what was fetched is what counts.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from engine_specs.preflight.quantized_checkpoint import NOTHING_MORE, SmallFiles
from engine_specs.reading import PACKAGE, SHA256_PATTERN, Problem, Repo, SpecInvalid, StrictFrozen, read_data

CHECKPOINTS_DIR = PACKAGE / "data" / "checkpoints"
COMMIT_PATTERN = r"^[0-9a-f]{40}$"
FactGroup = Literal["revision", "config", "file_bytes", "tensor_bytes"]


class VendoredCheckpoint(StrictFrozen):
    """`data/checkpoints/<owner>--<name>.yaml`: what is known about a checkpoint on the Hub."""

    repo: Repo = Field(description="Model repository on the Hub.")
    revision: str | None = Field(
        pattern=COMMIT_PATTERN, description="Commit that the facts were read at; null: not established."
    )
    config: dict[str, Any] = Field(description="Content of its config.json.")
    config_sha256: str = Field(pattern=SHA256_PATTERN, description="Digest of that file's bytes.")
    file_bytes: dict[str, int] = Field(
        description="Sizes of the checkpoint's files, by path, as far as they are known."
    )
    tensor_bytes: int = Field(
        gt=0, description="Size of all tensors: `metadata.total_size` of model.safetensors.index.json."
    )
    sources: dict[FactGroup, str] = Field(description="Where each group of facts comes from.")

    @property
    def small(self) -> SmallFiles:
        """None of its other files is known."""
        return NOTHING_MORE


def vendored_checkpoint(repo: str) -> VendoredCheckpoint | None:
    """Return the metadata that ships for a checkpoint, or None if there is none.

    Raises:
        SpecInvalid: the data file itself is invalid, or is not named after its repository.
    """
    path = CHECKPOINTS_DIR / f"{repo.replace('/', '--')}.yaml"
    return _read(path) if path.is_file() else None


def _read(path: Path) -> VendoredCheckpoint:
    checkpoint = read_data(path, VendoredCheckpoint)
    named = path.stem.replace("--", "/", 1)
    if checkpoint.repo != named:
        raise SpecInvalid(path.name, (Problem("repo", checkpoint.repo, f"{named}, as the file is named"),))
    return checkpoint.model_copy(update={"config": _plain(checkpoint.config)})


def _plain(value: Any) -> Any:
    """Turn the YAML reader's tuples into lists, as a JSON reader would have read the file."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
