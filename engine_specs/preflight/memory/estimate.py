"""How much memory one device needs for a variant: an upper estimate, with arithmetic that a person can check.

Invariants:
- Every line says how its bytes come about; the total is their sum, and nothing else is in it.
- The estimate is for the fullest device: of a pipeline, a stage with the most layers and one of the tables.
- A size that only a stage's output determines is an upper limit here, and names that stage.

The formulas (all per device; of a mixture of experts, each copy of attention (dp) is a whole model besides
its experts, and has the limits of the shape for itself):
    linear weights   layers / pp x weights of a layer / tp x bits of a weight; a key-value head is not cut, so
                     with fewer heads than devices each device holds a whole one
    experts          layers with experts / pp x experts / groups (ep) x weights of one / devices of a group
    tables           rows of the vocabulary / tp x hidden size, once for the embedding, once for lm_head
    KV cache         2 x layers / pp x key-value heads / tp x head size x bits x sequences x tokens; of latent
                     attention, layers / pp x compressed width x bits x sequences x tokens
    activations      tokens of an iteration x what one layer holds per token; layers reuse the same memory
"""

from collections.abc import Iterator

from engine_specs.preflight.memory.draft import drafting
from engine_specs.preflight.memory.records import Fit, MemoryEstimate, MemoryLine, load_memory_rules
from engine_specs.preflight.memory.weights import weight_lines
from engine_specs.preflight.memory.working_set import activations, kv_cache, logits, step_graphs
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import Target


def estimate_memory(
    variant: ResolvedVariant, model: ModelFacts, *, cached_tokens: int | None = None
) -> MemoryEstimate:
    """Estimate what the fullest device of a variant holds while it serves.

    Args:
        variant: the variant.
        model: sizes of its checkpoint.
        cached_tokens: tokens that the KV cache holds; None: as many as the variant's shape allows.
    """
    lines = (
        *weight_lines(variant, model),
        kv_cache(variant, model, cached_tokens),
        activations(variant, model),
        logits(variant, model),
        *step_graphs(variant, model),
        *drafting(variant, model, cached_tokens),
        *_reserves(variant.target),
    )
    budget_bytes, arithmetic = _budget(variant.target)
    return MemoryEstimate(
        devices=variant.devices,
        lines=lines,
        total_bytes=sum(line.bytes for line in lines),
        budget_bytes=budget_bytes,
        budget_arithmetic=arithmetic,
        fit=_fit(lines, budget_bytes),
        counting_note=model.counting_note,
    )


def _fit(lines: tuple[MemoryLine, ...], budget_bytes: int | None) -> Fit:
    if budget_bytes is None:
        return "target fixes no memory"
    if sum(line.bytes for line in lines) <= budget_bytes:
        return "fits"
    certain = sum(line.bytes for line in lines if line.known_after is None)
    return "exceeds" if certain > budget_bytes else "known after quantize"


def _reserves(target: Target) -> Iterator[MemoryLine]:
    if target.accelerator != "cuda":
        return
    for reserve in load_memory_rules().reserves:
        yield MemoryLine(
            what=reserve.what, bytes=reserve.bytes, arithmetic=f"{reserve.bytes:,} B on every GPU"
        )


def _budget(target: Target) -> tuple[int | None, str]:
    if target.memory_bytes is None:
        return None, f"{target.name}: the target fixes no memory"
    share = load_memory_rules().usable_share
    return int(target.memory_bytes * share), f"{target.name}: {target.memory_bytes:,} B x {share:g}"
