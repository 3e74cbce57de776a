"""Plans as text: each spec, its variants with their memory and problems, then its stages.

What several variants share is printed once: warnings with the names of the variants, toolchains at the end.
"""

from collections.abc import Iterator, Sequence

from engine_specs.preflight import DiskEstimate, MemoryEstimate, MemoryLine
from flows.text.units import human_bytes
from tasks.plan import PlannedVariant, SpecPlan


def plan_lines(plans: Sequence[SpecPlan]) -> Iterator[str]:
    """Yield the lines of all plans."""
    for plan in plans:
        yield from _spec(plan)
    yield from _missing_toolchains(plans)


def head_lines(plan: SpecPlan) -> Iterator[str]:
    """Yield the lines of one plan, except its stages."""
    commit = plan.commit[:12] if plan.commit else "?"
    yield f"{plan.spec} {plan.version}: {plan.checkpoint}@{commit} ({plan.commit_reason})"
    yield f"  {plan.metadata}"
    for note in dict.fromkeys(variant.memory.counting_note for variant in plan.variants if variant.memory):
        yield f"  {note}"
    for variant in plan.variants:
        yield from _variant(variant)
    yield from _warnings(plan.variants)


def _spec(plan: SpecPlan) -> Iterator[str]:
    yield from head_lines(plan)
    for stage in plan.stages:
        first, *others = stage.reasons
        yield f"  {stage.state:<8} {stage.stage:<9} {stage.variant:<12} {first}"
        for reason in others:
            yield f"  {'':<31} {reason}"


def _variant(variant: PlannedVariant) -> Iterator[str]:
    devices = variant.tensor_parallel * variant.pipeline_parallel
    spread = f" (tp {variant.tensor_parallel}, pp {variant.pipeline_parallel})" if devices > 1 else ""
    yield (
        f"  variant {variant.name}: {variant.kind} for {devices} x {variant.target}{spread}, "
        f"recipe {variant.recipe}, kv_cache {variant.kv_cache}"
    )
    if variant.memory is not None:
        yield from (f"    {line}" for line in memory_lines(variant.memory))
    if variant.disk is not None:
        yield f"    disk of the building host: {_disk(variant.disk)}"
    toolchains = (f"{tool.role} {tool.name} ({tool.state})" for tool in variant.toolchains)
    yield f"    toolchains: {', '.join(toolchains)}"
    for problem in variant.problems:
        yield f"    refused: {problem}"


def memory_lines(memory: MemoryEstimate) -> Iterator[str]:
    """Yield the calculation of one device's memory."""
    of = "" if memory.budget_bytes is None else f" of {human_bytes(memory.budget_bytes)} to plan for"
    arithmetic = f" ({memory.budget_arithmetic})" if memory.budget_bytes is not None else ""
    yield f"memory of each device: {human_bytes(memory.total_bytes)}{of}{arithmetic}: {memory.fit}"
    width = len(f"{memory.total_bytes:,}")
    names = max(len(line.what) for line in memory.lines)
    for line in memory.lines:
        yield f"  {line.bytes:>{width},} B  {line.what:<{names}}  {line.arithmetic}{_known_after(line)}"
    yield f"  {memory.total_bytes:>{width},} B  in total"


def _disk(disk: DiskEstimate) -> str:
    parts = (f"{line.what} {human_bytes(line.bytes)}{_known_after(line)}" for line in disk.lines)
    return f"{human_bytes(disk.total_bytes)} ({', '.join(parts)})"


def _known_after(line: MemoryLine) -> str:
    return f" at most, known after {line.known_after}" if line.known_after else ""


def _warnings(variants: Sequence[PlannedVariant]) -> Iterator[str]:
    for warning in dict.fromkeys(text for variant in variants for text in variant.warnings):
        names = ", ".join(variant.name for variant in variants if warning in variant.warnings)
        yield f"  warning ({names}): {warning}"


def _missing_toolchains(plans: Sequence[SpecPlan]) -> Iterator[str]:
    missing = {
        tool.name: tool.detail
        for plan in plans
        for variant in plan.variants
        for tool in variant.toolchains
        if tool.state == "not installed"
    }
    for name, why in missing.items():
        yield f"toolchain {name}: {why}"
