"""The placement of a variant's sides on this host, by what its GPUs hold at this moment."""

from collections.abc import Iterator, Mapping
from typing import Any

from artifacts.hosts import HostFacts
from artifacts.settings import PlacementName, Settings
from engine_specs.preflight import DraftCheckpoint, ServedMemory, StoredWeights, estimate_served
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison.choice import Room, choose_placement
from tasks.comparison.references import reference_sides
from tasks.errors import PlacementImpossible
from tasks.hosts import BUSY_PATIENCE_S, free_gpus, locked_by_a_job, need_of
from tasks.judging import PlacementChoice


def placement_here(
    spec: Spec,
    variant: ResolvedVariant,
    served: ServedMemory | None,
    facts: HostFacts,
    settings: Settings,
    sides: int | None = None,
    patience_s: float = BUSY_PATIENCE_S,
) -> PlacementChoice:
    """Choose the placement for a variant that this host can build.

    Args:
        spec: gives the references.
        variant: gives target and devices.
        served: what each side takes of a device; None if it is not known.
        facts: what this host has.
        settings: may say which placement is wanted.
        sides: how many sides there are; None: the engine and the references of the spec.
        patience_s: how long to wait for GPUs that seem busy, such as after the baseline's server has ended,
            if too few others are free for all sides.

    Raises:
        tasks.errors.GpusUnavailable: processes that are not of this program leave too few GPUs.
        tasks.errors.PlacementImpossible: this host cannot place the sides as the user wants.
    """
    sides = sides or 1 + len(reference_sides(spec, variant, cpu_features=facts.cpu_features))
    room = Room((), (), served)
    if variant.target.gpu is not None:
        free, busy = free_gpus(
            need_of(variant),
            facts,
            ours=lambda gpu: locked_by_a_job(gpu, settings.gpu_locks_dir),
            # Only sides that are up together gain by more GPUs than one of them needs.
            sides=sides if settings.placement in (None, "together") else 1,
            patience_s=patience_s,
        )
        room = Room(free, busy, served)
    return choose_placement(variant, sides, room, settings.placement)


def placement_obstacles(
    spec: Spec,
    variant: ResolvedVariant,
    served: ServedMemory | None,
    facts: HostFacts,
    forced: PlacementName | None,
) -> Iterator[str]:
    """Yield why a host cannot place the sides as the user wants, even while all its GPUs are free. Pure.

    Arguments are those of `placement_here`.
    """
    sides = 1 + len(reference_sides(spec, variant, cpu_features=facts.cpu_features))
    try:
        choose_placement(variant, sides, Room(facts.gpus, (), served), forced)
    except PlacementImpossible as error:
        yield error.what


def served_memory(
    spec: Spec,
    variant: ResolvedVariant,
    config: Mapping[str, Any],
    file_bytes: Mapping[str, int],
    ready_made: StoredWeights | None = None,
    draft: DraftCheckpoint | None = None,
) -> ServedMemory | None:
    """Return what each side takes of a device; None on a CPU, or if the configuration gives no sizes.

    Arguments are those of `engine_specs.preflight.estimate_served`.
    """
    if variant.target.gpu is None:
        return None
    return estimate_served(spec, variant, dict(config), file_bytes, ready_made, draft)
