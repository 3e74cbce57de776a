"""What vLLM is run with as a reference: data (`data/references.yaml`), each row with its source."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, TypeVar

from pydantic import Field

from engine_specs.reading import REFERENCES_FILE, StrictFrozen, read_data, refuse_duplicates
from engine_specs.tables.recipes import KvCacheName, RecipeName
from engine_specs.tables.targets import Target

Setting = bool | int | float | str
Capability = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class ServedRow(StrictFrozen):
    """Settings of vLLM for some hardware."""

    cpu: bool = Field(default=False, description="Whether it holds for processors.")
    compute_capabilities: Annotated[tuple[Capability, ...], Field(strict=False)] = Field(
        default=(), description="Compute capabilities of the NVIDIA GPUs that it holds for."
    )
    settings: dict[str, Setting] = Field(description="Settings, by the names of vLLM's engine arguments.")
    source: str = Field(min_length=10, description="Where that is known from.")

    def holds_for(self, target: Target) -> bool:
        """Whether the row is about this hardware."""
        return self.cpu if target.gpu is None else target.compute_capability in self.compute_capabilities

    @property
    def hardware(self) -> tuple[str, ...]:
        """What it holds for."""
        return (*(("cpu",) if self.cpu else ()), *self.compute_capabilities)


class RecommendedRow(ServedRow):
    """What vllm-project/recipes recommends for a model."""

    model: str = Field(
        pattern=r"^[^/\s]+/[^/\s]+$", description="Repository of the checkpoint on Hugging Face's Hub."
    )


class LoadedRow(ServedRow):
    """How vLLM serves what ModelOpt exports with a recipe."""

    recipe: RecipeName = Field(description="The recipe.")


class KvCacheRow(ServedRow):
    """The value of vLLM's flag for a KV cache of this format."""

    name: KvCacheName = Field(description="The format.")


class ReferenceTable(StrictFrozen):
    """The content of `data/references.yaml`."""

    commit: Commit = Field(description="Commit of vllm-project/recipes.")
    recommended: Annotated[tuple[RecommendedRow, ...], Field(strict=False)] = Field(
        description="What it recommends, by model and hardware."
    )
    loads: Annotated[tuple[LoadedRow, ...], Field(strict=False)] = Field(
        description="Exports of ModelOpt that vLLM serves as they are."
    )
    quantizes: Annotated[tuple[ServedRow, ...], Field(strict=False)] = Field(
        description="What vLLM quantizes by itself."
    )
    kv_caches: Annotated[tuple[KvCacheRow, ...], Field(strict=False)] = Field(
        description="Formats of the KV cache that vLLM has."
    )

    def recommendation(self, model: str, target: Target) -> RecommendedRow | None:
        """Return what is recommended for a model on this hardware; None if nobody says."""
        return _first([row for row in self.recommended if row.model == model], target)

    def loading(self, recipe: str, target: Target) -> LoadedRow | None:
        """Return how vLLM serves an export with this recipe; None if it does not."""
        return _first([row for row in self.loads if row.recipe == recipe], target)

    def quantizing(self, target: Target) -> ServedRow | None:
        """Return how vLLM quantizes by itself on this hardware; None if it does not."""
        return _first(self.quantizes, target)

    def kv_cache(self, name: str, target: Target) -> Mapping[str, Setting]:
        """Return the settings for this format of the KV cache; none if vLLM does not have it."""
        row = _first([row for row in self.kv_caches if row.name == name], target)
        return MappingProxyType(row.settings if row else {})


RowT = TypeVar("RowT", bound=ServedRow)


def _first(rows: tuple[RowT, ...] | list[RowT], target: Target) -> RowT | None:
    return next((row for row in rows if row.holds_for(target)), None)


@lru_cache(maxsize=1)
def load_references() -> ReferenceTable:
    """Return the table; raises SpecInvalid if the data file is invalid."""
    table = read_data(REFERENCES_FILE, ReferenceTable)
    for what, named in (
        ("model and hardware", [(row.model, row) for row in table.recommended]),
        ("recipe and hardware", [(str(row.recipe), row) for row in table.loads]),
        ("KV cache and hardware", [(str(row.name), row) for row in table.kv_caches]),
    ):
        pairs = [f"{name} on {hardware}" for name, row in named for hardware in row.hardware]
        refuse_duplicates(REFERENCES_FILE, what, pairs)
    return table
