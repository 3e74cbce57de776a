"""What a plan says of a variant before its stages: pre-flight with its arithmetic, and its toolchains."""

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
from tasks.toolchains import NotInstalled
from tasks.toolchains.declarations import end_of_life_warnings


class PlannedToolchain(Frozen):
    """A toolchain that a variant needs."""

    role: str = Field(description="What it does: quantize, build, serve or reference.")
    name: str = Field(description="Its name.")
    state: Literal["installed", "not installed"] = Field(description="Whether this host has it.")
    detail: str = Field(description="Its identity, or why it is not there.")


class PlannedVariant(Frozen):
    """One variant, judged from metadata."""

    name: str = Field(description="Name of the variant.")
    target: str = Field(description="What it is for.")
    kind: str = Field(description="What is compiled.")
    recipe: str = Field(description="How weights are quantized.")
    kv_cache: str = Field(description="How keys and values are stored.")
    tensor_parallel: int = Field(description="Devices that each layer spreads over.")
    pipeline_parallel: int = Field(description="Devices that the layers are divided between.")
    problems: tuple[Problem, ...] = Field(description="Every reason why it cannot work, and what would.")
    warnings: tuple[str, ...] = Field(description="What may go wrong, and what ends.")
    memory: MemoryEstimate | None = Field(description="One device's memory; null: the model is not known.")
    disk: DiskEstimate | None = Field(description="The building host's disk; null: the model is not known.")
    toolchains: tuple[PlannedToolchain, ...] = Field(description="What it is made and served with.")

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
    """Judge a variant by what is known of its checkpoint.

    Args:
        spec: its spec.
        variant: the variant.
        metadata: the checkpoint's, if anybody knows it.
        tools: the toolchains of this host.
        free_disk: free bytes of this host's disk, if it needs room; counts only where this host can build it.
        today: the day against which ends of life are told.
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
    """One sentence for the kind, and for each of these toolchains, whose upstream line has ended or will."""
    kind = load_kinds()[variant.engine.kind]
    end = kind.end_of_life
    if end is None:
        return end_of_life_warnings(toolchains, today)
    verb = "ended" if end.date <= today else "ends"
    told = f"kind {kind.name}: its upstream line {verb} on {end.date}; instead: {end.instead}"
    return (told, *end_of_life_warnings(toolchains, today))
