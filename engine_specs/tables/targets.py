"""Targets: what an engine is built for. The rows are data (`data/targets.yaml`), each with its source."""

from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engine_specs.reading import TARGETS_FILE, Slug, StrictFrozen, one_of, read_data, refuse_duplicates

Accelerator = Literal["cpu", "cuda"]
Platform = Literal["linux-x86_64", "linux-aarch64"]
NumberFormat = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8", "int4"]
COMPUTE_CAPABILITY_PATTERN = r"^[1-9][0-9]?\.[0-9]$"
ComputeCapability = Annotated[str, Field(pattern=COMPUTE_CAPABILITY_PATTERN)]


class Throughput(StrictFrozen):
    """Peak throughput of one GPU in one format."""

    format: NumberFormat = Field(description="Format of the operands.")
    dense_flops_per_s: float = Field(gt=0, description="Peak of the tensor cores, without sparsity.")


class Link(StrictFrozen):
    """How one GPU reaches the others of its host."""

    name: str = Field(min_length=1, description="What it is, such as NVLink 4.")
    bytes_per_s: int = Field(gt=0, description="Peak bandwidth of one GPU, both directions together.")


class GpuFacts(StrictFrozen):
    """What is known about one GPU of a target."""

    product_names: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = Field(
        description="Names by which the driver reports this GPU."
    )
    compute_capability: ComputeCapability = Field(description="CUDA compute capability, such as 9.0.")
    throughput: Annotated[tuple[Throughput, ...], Field(strict=False, min_length=1)] = Field(
        description="Peak throughput by format; formats without a row have no tensor core path."
    )
    link: Link | None = Field(
        description="Fastest way to another GPU of the host; null: a host has only one such GPU."
    )

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats that its tensor cores compute in."""
        return tuple(row.format for row in self.throughput)


class Target(StrictFrozen):
    """A class of hosts that one engine runs on."""

    name: Slug = Field(description="Name by which specs choose it.")
    description: str = Field(min_length=1, description="Which hosts these are.")
    platform: Platform = Field(description="Operating system and machine.")
    machine: Literal["x86_64", "aarch64"] = Field(description="platform.machine() of such a host.")
    accelerator: Accelerator = Field(description="What the engine computes on.")
    gpu: GpuFacts | None = Field(default=None, description="The GPU; none for CPU targets.")
    cpu_features: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="CPU flags that every such host has, as /proc/cpuinfo spells them, sorted."
    )
    march: str | None = Field(
        default=None, description="-march value with which GCC and Clang compile for exactly these."
    )
    memory_bytes: int | None = Field(
        default=None, gt=0, description="Memory of one device, if the target fixes it."
    )
    memory_bandwidth_bytes_per_s: int | None = Field(
        default=None, gt=0, description="Peak bandwidth of that memory."
    )
    work_pool: Slug = Field(description="Prefect work pool whose workers build and measure for it.")
    source: str = Field(min_length=10, description="Where the facts of this row come from.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.accelerator == "cpu" and (self.gpu is not None or not self.cpu_features):
            raise ValueError("a CPU target has cpu_features and no gpu")
        if self.accelerator == "cuda" and None in (
            self.gpu,
            self.memory_bytes,
            self.memory_bandwidth_bytes_per_s,
        ):
            raise ValueError("a GPU target has gpu, memory_bytes and memory_bandwidth_bytes_per_s")
        if not self.platform.endswith(self.machine):
            raise ValueError(f"platform {self.platform} does not match machine {self.machine}")
        return self

    @property
    def compute_capability(self) -> str | None:
        """CUDA compute capability; None if there is no GPU."""
        return self.gpu.compute_capability if self.gpu else None


class TargetTable(StrictFrozen):
    """The content of `data/targets.yaml`."""

    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = Field(
        description="One row per target."
    )


@lru_cache(maxsize=1)
def load_targets() -> MappingProxyType[str, Target]:
    """Return all targets by name, in the order of the file.

    Raises:
        SpecInvalid: the data file itself is invalid.
    """
    rows = read_data(TARGETS_FILE, TargetTable).targets
    refuse_duplicates(TARGETS_FILE, "target", [row.name for row in rows])
    return MappingProxyType({row.name: row for row in rows})


TargetName = one_of("target", load_targets)
