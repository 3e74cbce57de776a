"""What TensorRT-LLM's model files read of a checkpoint's config.json, as data with sources.

Invariants:
- A key with dots is inside another one: `mapping.tp_size`.
- What every model needs is part of each architecture's row, as `reads_of` returns it.
"""

from functools import lru_cache
from typing import Annotated

from pydantic import Field

from engine_specs.reading import MODEL_FILES_FILE, StrictFrozen, read_data, refuse_duplicates

Names = Annotated[tuple[str, ...], Field(strict=False)]


class ModelFile(StrictFrozen):
    """One model file of the tool, for the architectures that it reads alike."""

    file: str = Field(min_length=1, description="The file, by its path in the tool's repository.")
    config_class: str = Field(min_length=1, description="The tool's class of the configuration.")
    architectures: Names = Field(default=(), description="What it builds; empty: every architecture.")
    required: Names = Field(
        default=(), description="Keys that are read and have no default: without one the tool ends."
    )
    stated: Names = Field(
        default=(), description="Keys with a default of the tool that may be another model's."
    )
    values: dict[str, str | bool] = Field(
        default_factory=dict, description="The only values with which these architectures are built right."
    )
    source: str = Field(min_length=10, description="Where that was read.")


class KnownNames(StrictFrozen):
    """A closed list of names of the tool."""

    names: Names = Field(description="All of them.")
    source: str = Field(min_length=10, description="Where they were read.")


class ModelFiles(StrictFrozen):
    """The content of `data/model_files.yaml`."""

    release: str = Field(description="Line of TensorRT-LLM.")
    every_model: ModelFile = Field(description="What is read for every architecture.")
    quantization_keys: KnownNames = Field(description="Keys that `quantization` may have.")
    rotary_scalings: KnownNames = Field(description="Types that `rotary_scaling` may name.")
    model_files: Annotated[tuple[ModelFile, ...], Field(strict=False, min_length=1)] = Field(
        description="What else is read, by architecture."
    )

    def reads_of(self, architecture: str) -> ModelFile | None:
        """Return what is read for an architecture, in every file; None if no row builds it."""
        row = next((one for one in self.model_files if architecture in one.architectures), None)
        if row is None:
            return None
        common = self.every_model
        return row.model_copy(
            update={
                "required": common.required + row.required,
                "stated": common.stated + row.stated,
                "values": common.values | row.values,
            }
        )


@lru_cache(maxsize=1)
def load_model_files() -> ModelFiles:
    """Return the table; raises SpecInvalid if the data file is invalid."""
    table = read_data(MODEL_FILES_FILE, ModelFiles)
    named = [name for row in table.model_files for name in row.architectures]
    refuse_duplicates(MODEL_FILES_FILE, "architecture", named)
    return table
