"""Plans as text: each spec, its variants with their memory and problems, then its stages.

What several variants share is printed once: warnings with the names of the variants, toolchains at the end.
"""

from collections.abc import Iterator, Mapping, Sequence

from engine_specs.preflight import DiskEstimate, Examination, MemoryEstimate, MemoryLine
from engine_specs.spec import ResolvedVariant
from flows.text.units import human_bytes
from tasks.judging import WindowGroup
from tasks.plan import PlannedVariant, SpecPlan
from tasks.toolchains import NotInstalled, Provenance


def plan_lines(plans: Sequence[SpecPlan]) -> Iterator[str]:
    """Yield the lines of all plans."""
    for plan in plans:
        yield from head_lines(plan)
        yield from _stage_lines(plan)
    found = (one for plan in plans for variant in plan.variants for one in variant.toolchains.values())
    absent = (one for one in found if isinstance(one, NotInstalled))
    yield from dict.fromkeys(f"toolchain {one.name}: {one.reason}" for one in absent)


def head_lines(plan: SpecPlan) -> Iterator[str]:
    """Yield the lines of one plan, except its stages."""
    checkpoint, commit = plan.checkpoint, plan.checkpoint.commit or "?"
    yield f"{plan.spec} {plan.version}: {checkpoint.repo}@{commit[:12]} ({checkpoint.commit_reason})"
    yield f"  {checkpoint.facts_reason}"
    for note in dict.fromkeys(variant.memory.counting_note for variant in plan.variants if variant.memory):
        yield f"  {note}"
    for variant in plan.variants:
        yield from _variant(variant)
    for asked in dict.fromkeys(variant.accuracy for variant in plan.variants):
        names = ", ".join(variant.asked.name for variant in plan.variants if variant.accuracy == asked)
        yield f"  accuracy ({names}): {_accuracy(asked)}"
    yield from (f"  {line}" for line in _warnings({one.asked.name: one for one in plan.variants}))


def examination_lines(found: Mapping[str, Examination]) -> Iterator[str]:
    """Yield what pre-flight found for variants, by name: the memory of each, then the warnings."""
    for name, one in found.items():
        if one.memory is not None:
            yield from (f"{name}: {line}" for line in _memory(one.memory))
    yield from _warnings(found)


def _warnings(found: Mapping[str, Examination]) -> Iterator[str]:
    for warning in dict.fromkeys(text for one in found.values() for text in one.warnings):
        names = ", ".join(name for name, one in found.items() if warning in one.warnings)
        yield f"warning ({names}): {warning}"


def _stage_lines(plan: SpecPlan) -> Iterator[str]:
    """Yield a line per stage, in columns, and below it what else speaks against reuse."""
    rows = [((stage.state, stage.stage, stage.variant), stage.reasons) for stage in plan.stages]
    widths = [max((len(cells[column]) for cells, _ in rows), default=0) for column in range(3)]
    for cells, (first, *others) in rows:
        start = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        yield f"  {start}  {first}"
        yield from (f"  {'':<{len(start)}}  {reason}" for reason in others)


def _variant(variant: PlannedVariant) -> Iterator[str]:
    asked = variant.asked
    spread = f" ({_spread(asked)})" if asked.devices > 1 else ""
    yield (
        f"  variant {asked.name}: {asked.engine.kind} for {asked.devices} x {asked.target.name}{spread}, "
        f"{_quantization(asked)}"
    )
    if asked.speculative is not None:
        yield f"    drafts tokens: {asked.speculative.text()}"
    if variant.memory is not None:
        yield from (f"    {line}" for line in _memory(variant.memory))
    if variant.disk is not None:
        yield f"    disk of the building host: {_disk(variant.disk)}"
    if variant.placement:
        yield f"    placement of sides: {variant.placement}"
    for one in variant.references:
        yield f"    reference {one.name} ({', '.join(one.roles)}): {one.why}"
    for role, why in variant.no_reference.items():
        yield f"    no reference {role}: {why}"
    toolchains = (f"{role} {_toolchain(found)}" for role, found in variant.toolchains.items())
    yield f"    toolchains: {', '.join(toolchains)}"
    for problem in variant.problems:
        yield f"    refused: {problem}"


def _spread(asked: ResolvedVariant) -> str:
    """Say the parallel sizes; those of experts only if they are used."""
    sizes = {"tp": asked.tensor_parallel, "pp": asked.pipeline_parallel}
    more = {"ep": asked.expert_parallel, "dp": asked.data_parallel}
    return ", ".join(f"{name} {size}" for name, size in (sizes | more).items() if name in sizes or size > 1)


def _quantization(asked: ResolvedVariant) -> str:
    """Say the recipe; a ready-made checkpoint by its name, as its own files say the rest."""
    quantization = asked.quantization
    if source := quantization.source:
        return f"recipe {quantization.recipe}: {source.repo}@{source.revision[:12]}"
    return f"recipe {quantization.recipe}, kv_cache {quantization.kv_cache}"


def _accuracy(groups: Sequence[WindowGroup]) -> str:
    """Say how many texts are asked, by the length of contexts and continuations, and what that comes to."""
    parts = (
        f"{group.texts:,} {'text' if group.texts == 1 else 'texts'} of {group.contexts} "
        f"continued by {group.continuation_tokens:,}"
        for group in groups
    )
    generated = sum(group.texts * group.continuation_tokens for group in groups)
    return f"{'; '.join(parts)}: up to {generated:,} generated tokens"


def _toolchain(found: Provenance | NotInstalled) -> str:
    if isinstance(found, NotInstalled):
        return f"{found.name} (not installed)"
    return str(found) if found.adopted or found.differences else f"{found.name} (installed)"


def _memory(memory: MemoryEstimate) -> Iterator[str]:
    """Yield the calculation of one device's memory."""
    of = ""
    if memory.budget_bytes is not None:
        of = f" of {human_bytes(memory.budget_bytes)} to plan for ({memory.budget_arithmetic})"
    yield f"memory of each device: {human_bytes(memory.total_bytes)}{of}: {memory.fit}"
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
