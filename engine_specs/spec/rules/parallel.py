"""Rules of parallelism: which sizes a kind's tool takes together, whatever the checkpoint is."""

from collections.abc import Iterator

from engine_specs.spec.rules.violation import View, Violation
from engine_specs.tables import KindFacts, load_kinds, load_targets

EXPERT, DATA, TENSOR, PIPELINE = "expert_parallel", "data_parallel", "tensor_parallel", "pipeline_parallel"


def parallel_violations(variant: View, facts: KindFacts) -> Iterator[Violation]:
    """Yield parallel sizes that the kind does not take, each with what it does take."""
    yield from _most(variant, facts)
    asked = {key: _size(variant, key) for key in (EXPERT, DATA) if _size(variant, key) > 1}
    if facts.experts is None:
        able = ", ".join(one.name for one in load_kinds().values() if one.experts is not None)
        accepted = f"1: {facts.name} has no expert or attention data parallelism; kinds that have: {able}"
        yield from (Violation((key,), str(size), accepted) for key, size in asked.items())
        return
    target = load_targets().get(variant.get("target") or "")
    if target is not None and target.accelerator == "cpu":
        for key, size in asked.items():
            yield Violation((key,), f"{size} on {target.name}", "1: it spreads a layer over GPUs")
        return
    yield from _groups(variant, facts)
    yield from _together(variant, facts)


def _most(variant: View, facts: KindFacts) -> Iterator[Violation]:
    for key, most in ((TENSOR, facts.max_tensor_parallel), (PIPELINE, facts.max_pipeline_parallel)):
        asked = variant.get(key)
        if asked is not None and asked > most:
            yield Violation((key,), str(asked), f"at most {most} with {facts.name}")


def _groups(variant: View, facts: KindFacts) -> Iterator[Violation]:
    """Yield a number of groups that does not divide the devices of a layer as the tool can."""
    groups, devices = _size(variant, EXPERT), _size(variant, TENSOR) * _size(variant, DATA)
    whole = facts.experts is not None and facts.experts.groups == "one-per-device"
    if groups == 1 or (groups == devices if whole else devices % groups == 0):
        return
    fitting = [1, devices] if whole else [n for n in range(1, devices + 1) if devices % n == 0]
    listed = " or ".join(str(one) for one in dict.fromkeys(fitting))
    over = f"{devices} device{'s' if devices > 1 else ''}"
    accepted = f"{listed}: a layer spreads over {over} ({TENSOR} x {DATA})" + (
        f", and {facts.name} divides experts or spreads whole ones, not both" if whole else ""
    )
    yield Violation((EXPERT,), str(groups), accepted)


def _together(variant: View, facts: KindFacts) -> Iterator[Violation]:
    """Yield data parallelism beyond a host, or next to what the tool does not combine it with."""
    tensor, data, most = _size(variant, TENSOR), _size(variant, DATA), facts.max_tensor_parallel
    if data == 1 or facts.experts is None:
        return
    if tensor <= most < tensor * data:
        found = f"{data} with {TENSOR} {tensor}"
        yield Violation((DATA,), found, f"at most {most} devices of a layer with {facts.name}")
    for key in (TENSOR, PIPELINE):
        if _size(variant, key) > 1 and key not in facts.experts.data_parallel_with:
            accepted = f"1 with {DATA}: {facts.experts.why_alone}"
            yield Violation((key,), str(_size(variant, key)), accepted)


def _size(variant: View, key: str) -> int:
    """Return a parallel size; 1 if it is missing or unreadable."""
    found = variant.get(key)
    return found if isinstance(found, int) and found >= 1 else 1
