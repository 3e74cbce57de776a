"""Whether all sides of a comparison fit on the same GPUs at once, each with the same share of the memory.

Invariants:
- Every side gets the same share: none is faster because it could keep more.
- A share is big enough only if it holds weights, activations, and the KV cache of the whole workload: with
  less, a side would have to wait, and its speed would not be its own.
- References count as unquantized: vLLM loads the checkpoint before it quantizes; and one drafts as the engine
  does.
"""

from collections.abc import Iterator, Mapping
from math import ceil, floor

from pydantic import Field

from engine_specs.preflight.checkpoint import DraftCheckpoint, drafting_facts
from engine_specs.preflight.decoder import Config
from engine_specs.preflight.memory import (
    MemoryEstimate,
    estimate_memory,
    load_memory_rules,
    unquantized,
)
from engine_specs.preflight.model_facts import StoredWeights, UnknownFacts, read_model_facts
from engine_specs.preflight.support import REFERENCE
from engine_specs.reading import StrictFrozen
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import load_kinds

GB = 1e9


class ServedMemory(StrictFrozen):
    """What serving takes of one device."""

    engine: MemoryEstimate = Field(description="The engine.")
    reference: MemoryEstimate = Field(description="vLLM, with the unquantized checkpoint.")


class Sharing(StrictFrozen):
    """The division of a GPU's memory between sides."""

    share: float = Field(gt=0, le=1, description="Share of each GPU's memory that every side would get.")
    obstacle: str = Field(description="Why sides cannot share GPUs, with figures; empty if they can.")
    reason: str = Field(description="What a share holds, with figures, as part of a sentence.")


def estimate_served(
    spec: Spec,
    variant: ResolvedVariant,
    config: Config,
    file_bytes: Mapping[str, int],
    ready_made: StoredWeights | None = None,
    draft: DraftCheckpoint | None = None,
) -> ServedMemory | None:
    """Estimate what each side takes of one device while it serves the workload.

    Args:
        spec: gives the workload.
        variant: one of its variants.
        config: config.json of the spec's checkpoint.
        file_bytes: size of each of its files, by path.
        ready_made: what the variant's ready-made checkpoint holds, if it has one.
        draft: what is known of the checkpoint that drafts tokens, if it has one.

    Returns None if the checkpoint's configuration does not give the sizes.
    """
    model = read_model_facts(config, file_bytes)
    if isinstance(model, UnknownFacts):
        return None
    model = model.model_copy(
        update={"ready_made": ready_made, "draft": drafting_facts(variant, model, config, draft)}
    )
    plain = unquantized(variant)
    tokens = cached_tokens(spec, variant)
    kind, accelerator = load_kinds()[variant.engine.kind], variant.target.accelerator
    paged = kind.server_memory == "share"
    return ServedMemory(
        engine=estimate_memory(
            variant, model.computed_by(kind, accelerator), cached_tokens=tokens if paged else None
        ),
        reference=estimate_memory(
            plain,
            model.computed_by(load_kinds()[REFERENCE], accelerator),
            cached_tokens=tokens,
        ),
    )


def cached_tokens(spec: Spec, variant: ResolvedVariant) -> int:
    """Return how many tokens the workload keeps at once, per copy of attention.

    A server also has to hold its longest sequence.
    """
    load = spec.workload
    sequences = ceil(max(load.concurrency) / variant.data_parallel)
    return max(sequences * load.longest_tokens, variant.shape.max_seq_len)


def estimate_sharing(variant: ResolvedVariant, served: ServedMemory | None, sides: int) -> Sharing:
    """Decide whether that many sides fit on the same GPUs.

    Args:
        variant: gives target and kind.
        served: what each side takes; None if it is not known.
        sides: the engine and its references.
    """
    share = floor(100 * load_memory_rules().usable_share / sides) / 100
    memory = variant.target.memory_bytes
    if load_kinds()[variant.engine.kind].server_memory == "rest":
        return _refused(share, f"the server of {variant.engine.kind} takes all of the memory that is left")
    if served is None or memory is None:
        return _refused(share, "the memory of the sides is not known")
    share_bytes = int(memory * share)
    squeezed = list(_squeezed(served, share_bytes))
    engine, vllm = served.engine.total_bytes / GB, served.reference.total_bytes / GB
    figures = (
        f"{sides} shares of {share_bytes / GB:.1f} GB; the engine takes {engine:.1f} GB, vLLM {vllm:.1f} GB"
    )
    obstacle = f"{' and '.join(squeezed)} would not fit: {figures}" if squeezed else ""
    return Sharing(share=share, obstacle=obstacle, reason=figures)


def _refused(share: float, obstacle: str) -> Sharing:
    return Sharing(share=share, obstacle=obstacle, reason=obstacle)


def _squeezed(served: ServedMemory, share_bytes: int) -> Iterator[str]:
    if served.engine.total_bytes > share_bytes:
        yield "the engine"
    if served.reference.total_bytes > share_bytes:
        yield "vLLM"
