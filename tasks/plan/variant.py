"""What a plan says about a variant besides its stages: pre-flight with its figures, and toolchains."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import probe_host
from engine_specs.preflight import DiskEstimate, Examination, MemoryEstimate, examine
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds
from tasks.comparison import divide_by_host, lacks_for_measuring, reference_sides
from tasks.kinds import kind_named
from tasks.plan.checkpoint import Metadata, NoMetadata
from tasks.plan.toolchains import HostToolchains
from tasks.stages import build
from tasks.toolchains import NotInstalled, end_of_life_warnings


class PlannedToolchain(Frozen):
    """A toolchain that a variant needs."""

    role: str = Field(description="Its role: quantize, build, serve or reference.")
    name: str = Field(description="Its name.")
    state: Literal["installed", "not installed"] = Field(description="Whether this host has it.")
    detail: str = Field(description="Its identity, or why it is not installed.")


class PlannedVariant(Frozen):
    """One variant, judged by metadata."""

    name: str = Field(description="Name of the variant.")
    target: str = Field(description="Name of its target.")
    kind: str = Field(description="Its engine kind.")
    recipe: str = Field(description="How weights are quantized.")
    kv_cache: str = Field(description="How keys and values are stored.")
    tensor_parallel: int = Field(description="Number of devices that each layer is spread over.")
    pipeline_parallel: int = Field(description="Number of parts that the layers are divided into.")
    problems: tuple[Problem, ...] = Field(description="Every reason why it cannot work, with what would.")
    warnings: tuple[str, ...] = Field(description="What may go wrong, and what reaches its end of life.")
    memory: MemoryEstimate | None = Field(description="Memory of one device; null if the model is not known.")
    disk: DiskEstimate | None = Field(description="Disk of the build host; null if the model is not known.")
    toolchains: tuple[PlannedToolchain, ...] = Field(description="Toolchains that make and serve it.")

    @property
    def refused(self) -> bool:
        """Whether pre-flight refuses it."""
        return bool(self.problems)


def plan_variant(
    spec: Spec,
    variant: ResolvedVariant,
    metadata: Metadata | NoMetadata,
    tools: HostToolchains,
    *,
    free_disk: int | None,
    today: dt.date,
) -> PlannedVariant:
    """Judge a variant by what is known about its checkpoint.

    Args:
        spec: its spec.
        variant: the variant.
        metadata: metadata of the checkpoint, if there is any.
        tools: the toolchains of this host.
        free_disk: free bytes of this host's disk, used if it can build the variant; None: not checked.
        today: the day by which ends of life are reported.
    """
    facts = probe_host()
    builds_here = bool(divide_by_host([variant], facts).here)
    lacks = lacks_for_measuring(spec, variant, facts) if builds_here else ""
    examined = _examined(spec, variant, metadata, free_disk if builds_here else None)
    toolchains = tuple(_toolchains(spec, variant, tools))
    return PlannedVariant(
        name=variant.name,
        target=variant.target.name,
        kind=variant.engine.kind,
        recipe=variant.quantization.recipe,
        kv_cache=variant.quantization.kv_cache,
        tensor_parallel=variant.tensor_parallel,
        pipeline_parallel=variant.pipeline_parallel,
        problems=(*kind_named(variant.engine.kind).option_problems(variant), *examined.problems),
        warnings=(
            *examined.warnings,
            *ends_of_life(variant, [one.name for one in toolchains], today),
            *((lacks,) if lacks else ()),
        ),
        memory=examined.memory,
        disk=examined.disk,
        toolchains=toolchains,
    )


def _examined(
    spec: Spec, variant: ResolvedVariant, metadata: Metadata | NoMetadata, free_bytes: int | None
) -> Examination:
    if isinstance(metadata, NoMetadata):
        return Examination(problems=metadata.problems, warnings=(), memory=None, disk=None)
    return examine(spec, variant, metadata.config, metadata.file_bytes, free_disk_bytes=free_bytes)


def _toolchains(spec: Spec, variant: ResolvedVariant, tools: HostToolchains) -> Iterator[PlannedToolchain]:
    reference = reference_sides(spec, variant, "")[0].serve.toolchain
    for role, name in {**build.toolchains_of(variant), "reference": reference}.items():
        found = tools.identity(name)
        if isinstance(found, NotInstalled):
            yield PlannedToolchain(role=role, name=name, state="not installed", detail=found.reason)
        else:
            yield PlannedToolchain(role=role, name=name, state="installed", detail=found)


def ends_of_life(variant: ResolvedVariant, toolchains: Iterable[str], today: dt.date) -> tuple[str, ...]:
    """Return one sentence for the kind and each toolchain whose upstream line has ended or will end."""
    kind = load_kinds()[variant.engine.kind]
    end = kind.end_of_life
    if end is None:
        return end_of_life_warnings(toolchains, today)
    verb = "ended" if end.date <= today else "ends"
    warning = f"kind {kind.name}: its upstream line {verb} on {end.date}; instead: {end.instead}"
    return (warning, *end_of_life_warnings(toolchains, today))
