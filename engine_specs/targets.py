"""Targets: what an engine is built for. The rows are data (`data/targets.yaml`), each with its source."""

from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from engine_specs.data_files import TARGETS_FILE, read_data, refuse_duplicates
from engine_specs.frozen import Frozen
from engine_specs.names import Slug, one_of


class Target(Frozen):
    """A class of hosts that one engine runs on."""

    name: Slug = Field(description="Name by which specs choose it.")
    description: str = Field(min_length=1, description="What hosts these are.")
    platform: Literal["linux-x86_64"] = Field(description="Operating system and machine.")
    machine: Literal["x86_64"] = Field(description="platform.machine() of such a host.")
    accelerator: Literal["cpu"] = Field(description="What computes.")
    cpu_features: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = Field(
        description="CPU flags that every such host has, as /proc/cpuinfo spells them, sorted."
    )
    march: str | None = Field(
        default=None, description="-march value by which GCC and Clang compile for exactly these."
    )
    memory_bytes: int | None = Field(
        default=None, gt=0, description="Device memory, where the target fixes it."
    )
    memory_bandwidth_bytes_per_s: int | None = Field(
        default=None, gt=0, description="Peak bandwidth of that memory."
    )
    work_pool: Slug = Field(description="Prefect work pool whose workers build and measure for it.")
    source: str = Field(min_length=10, description="Where the facts of this row come from.")


class TargetTable(Frozen):
    """`data/targets.yaml`."""

    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = Field(
        description="One row a target."
    )


@lru_cache(maxsize=1)
def load_targets() -> MappingProxyType[str, Target]:
    """Return all targets by name, in the order of the file.

    Raises:
        SpecInvalid: the data file itself is wrong.
    """
    rows = read_data(TARGETS_FILE, TargetTable).targets
    refuse_duplicates(TARGETS_FILE, "target", [row.name for row in rows])
    return MappingProxyType({row.name: row for row in rows})


TargetName = one_of("target", load_targets)
