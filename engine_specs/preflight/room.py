"""Pre-flight of room: memory of the devices, room on the build host, and the settings that would fit."""

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

from engine_specs.preflight.build_host import DiskEstimate, required_host_memory
from engine_specs.preflight.decoder import spread_of
from engine_specs.preflight.memory import MemoryEstimate, estimate_memory, kv_bits, unquantized
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.preflight.parallel import dimension_problems, divides, widened
from engine_specs.preflight.sharing import cached_tokens
from engine_specs.preflight.support import usable_kv_caches, usable_recipes, usable_targets
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import KindFacts, load_kinds, load_kv_caches, load_recipes

GB, GIB = 1e9, 1 << 30
CPU_CACHE = "VLLM_CPU_KVCACHE_SPACE"
CPU_CACHE_BYTES = 1 * GIB
"""What vLLM's toolchain for processors sets it to, as several sides are up at once."""
MOST_TARGETS = 3
NO_SINGLE_SETTING = (
    "no single setting is enough: use a smaller model, or change several of batch size, lengths, devices, "
    "recipe and target together"
)


def memory_problems(spec: Spec, variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield a problem if the fullest device has too little memory, with the settings that alone would fit."""
    estimate = estimate_memory(variant, model)
    if estimate.fit != "exceeds" or estimate.budget_bytes is None:
        return
    found = (
        f"{variant.target.name} with {estimate.budget_bytes / GB:.1f} GB to plan for on each device, but "
        f"{estimate.total_bytes / GB:.1f} GB are needed ({_summary(estimate)})"
    )
    fitting = list(_fitting(spec, variant, model))
    accepted = f"one of: {'; '.join(fitting)}" if fitting else NO_SINGLE_SETTING
    yield Problem(f"variants.{variant.name}.target", found, accepted)


def reference_warnings(spec: Spec, variant: ResolvedVariant, model: ModelFacts) -> Iterator[str]:
    """Warn if vLLM cannot serve the unquantized checkpoint as well as its devices could.

    On as many GPUs, it may not start. On processors, its KV cache may hold less than the workload keeps.
    """
    plain = unquantized(variant).model_copy(update={"speculative": None})
    if variant.target.accelerator == "cpu":
        yield from _small_cache(plain, model, cached_tokens(spec, variant))
    estimate = estimate_memory(plain, model)
    held = sum(line.bytes for line in estimate.lines if not line.what.startswith("KV cache"))
    if estimate.budget_bytes is not None and held > estimate.budget_bytes:
        yield (
            f"vLLM, the reference, needs {held / GB:.1f} GB per device for the unquantized checkpoint "
            f"besides its KV cache, of {estimate.budget_bytes / GB:.1f} GB to plan for: "
            "it may run out of memory"
        )


def _small_cache(plain: ResolvedVariant, model: ModelFacts, tokens: int) -> Iterator[str]:
    """Warn if the cache that vLLM has on processors does not hold so many tokens: it would have to wait."""
    lines = estimate_memory(plain, model, cached_tokens=tokens).lines
    kept = sum(line.bytes for line in lines if line.what.startswith("KV cache"))
    if kept > CPU_CACHE_BYTES:
        yield (
            f"vLLM, the reference, has room for {CPU_CACHE_BYTES / GB:.1f} GB of keys and values on "
            f"processors, and the workload keeps {kept / GB:.1f} GB ({tokens:,} tokens): it would have to "
            "wait, and an engine would seem faster than it is. "
            f"Hand {CPU_CACHE}={ceil(kept / GIB)} to all tools ([tool_env])"
        )


def disk_problems(disk: DiskEstimate, free_bytes: int | None) -> Iterator[Problem]:
    """Yield a problem if the build host has too little free disk; none if the free space is unknown."""
    if free_bytes is None or disk.total_bytes <= free_bytes:
        return
    lines = ", ".join(f"{line.what} {line.bytes / GB:.1f} GB" for line in disk.lines)
    yield Problem(
        "this host's disk",
        f"{free_bytes / GB:.1f} GB free",
        f"{disk.total_bytes / GB:.1f} GB ({lines}): free some, or point ENGINERY_HOME and HF_HOME elsewhere",
    )


def host_memory_problems(
    variant: ResolvedVariant, model: ModelFacts, memory_bytes: int | None
) -> Iterator[Problem]:
    """Yield a problem if the build host has too little memory; none if its memory is unknown."""
    lines = required_host_memory(variant, model)
    needed = sum(line.bytes for line in lines)
    if memory_bytes is None or needed <= memory_bytes:
        return
    listed = ", ".join(f"{line.what} {line.bytes / GB:.1f} GB" for line in lines)
    yield Problem(
        "this host's memory",
        f"{memory_bytes / GB:.1f} GB",
        f"{needed / GB:.1f} GB ({listed}): build it on a host with more"
        + (", or set quantization.device: cuda" if variant.quantization.device == "cpu" else ""),
    )


def _summary(estimate: MemoryEstimate) -> str:
    largest = sorted(estimate.lines, key=lambda line: -line.bytes)[:3]
    return ", ".join(f"{line.what} {line.bytes / GB:.1f} GB" for line in largest)


def _fitting(spec: Spec, variant: ResolvedVariant, model: ModelFacts) -> Iterator[str]:
    """Yield the settings that alone would make it fit, with the nearest value of each."""
    kind = load_kinds()[variant.engine.kind]
    yield from _shape(spec, variant, model)
    yield from _devices(variant, model, kind)
    if variant.quantization.source is None:  # a ready-made checkpoint is what it is
        yield from _smaller_kv_cache(variant, model, kind)
        yield from _smaller_weights(variant, model, kind)
    yield from _targets(variant, model, kind)


def _shape(spec: Spec, variant: ResolvedVariant, model: ModelFacts) -> Iterator[str]:
    """Shrink only as far as rules and workload allow: a value that the spec would refuse is no help."""
    workload, shape = spec.workload, variant.shape
    least = {
        "max_batch_size": workload.operating_point,
        "max_seq_len": max(shape.max_input_len + 1, workload.longest_tokens),
    }
    for name, low in least.items():

        def fits(value: int, name: str = name) -> bool:
            smaller = shape.model_copy(update={name: value})
            return _fits(variant, model, shape=smaller)

        if fits(low):
            yield f"{name} {_largest(low, getattr(shape, name), fits)}"


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """Return the largest value in [low, high) that fits; `low` does, `high` does not, `fits` is monotonic."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _devices(variant: ResolvedVariant, model: ModelFacts, kind: KindFacts) -> Iterator[str]:
    alone = kind.experts is not None and "tensor_parallel" not in kind.experts.data_parallel_with
    if variant.data_parallel > 1 and alone:
        return
    for size in range(variant.tensor_parallel + 1, kind.max_tensor_parallel // variant.data_parallel + 1):
        wider = widened(variant, size)
        if wider.layer_devices % wider.expert_parallel or not divides(model, spread_of(wider)):
            continue
        if not any(dimension_problems(wider, model)) and _fits(wider, model):
            more = f" with expert_parallel {wider.expert_parallel}" if wider.expert_parallel > 1 else ""
            yield f"tensor_parallel {size}{more}"
            return


def _smaller_kv_cache(variant: ResolvedVariant, model: ModelFacts, kind: KindFacts) -> Iterator[str]:
    rows, asked = load_kv_caches(), variant.quantization
    names = usable_kv_caches(kind, variant.target, asked.device)
    for name in sorted(names, key=lambda one: -kv_bits(rows[one], model)):
        if _fits(variant, model, quantization=asked.model_copy(update={"kv_cache": name})):
            yield f"kv_cache {name}"
            return


def _smaller_weights(variant: ResolvedVariant, model: ModelFacts, kind: KindFacts) -> Iterator[str]:
    rows, asked = load_recipes(), variant.quantization
    names = usable_recipes(kind, variant.target, model.architecture, asked.device)
    presets = [rows[name] for name in names if rows[name].form == "preset"]
    for recipe in sorted(presets, key=lambda one: -(one.weight_bits or 0)):
        smaller = _with_recipe(variant, recipe.name)
        if _fits(smaller, model) and not any(dimension_problems(smaller, model)):
            yield f"recipe {recipe.name}"
            return


def _with_recipe(variant: ResolvedVariant, name: str) -> ResolvedVariant:
    quantization = variant.quantization.model_copy(update={"recipe": name, "search": None, "file": None})
    return variant.model_copy(update={"quantization": quantization})


def _targets(variant: ResolvedVariant, model: ModelFacts, kind: KindFacts) -> Iterator[str]:
    asked = variant.quantization
    covered = usable_targets(kind, kind.recipe(asked.recipe), kind.kv_cache(asked.kv_cache))
    fitting = [one for one in covered if _fits(variant, model, target=one)]
    nearest = sorted(fitting, key=lambda one: (one.memory_bytes or 0, one.name))[:MOST_TARGETS]
    if nearest:
        yield f"target {', '.join(one.name for one in nearest)}"


def _fits(variant: ResolvedVariant, model: ModelFacts, **changes: Any) -> bool:
    return estimate_memory(variant.model_copy(update=changes), model).fit == "fits"
