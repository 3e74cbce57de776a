"""Which placement a measurement gets on a host: by its GPUs, by their memory, or as the user says.

Pure: the facts about the host are arguments. The best one that is possible is chosen:

1. `together` disturbs no side, but needs GPUs for all of them.
2. `shared` needs as many GPUs as one side, and memory for all sides.
3. `in-turn` needs no more than one side does, and time for many starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from artifacts.hosts import Gpu
from artifacts.settings import PlacementName
from engine_specs.preflight import ServedMemory, estimate_sharing
from engine_specs.spec import ResolvedVariant
from tasks.errors import GpusUnavailable, PlacementImpossible
from tasks.judging import PlacementChoice

SETTING = "ENGINERY_PLACEMENT"


@dataclass(frozen=True, slots=True)
class Room:
    """What a host has for the sides of one variant.

    Attributes:
        free: suitable GPUs that no foreign process computes on; empty on a CPU host.
        busy: what computes on the other suitable GPUs, one text per GPU.
        served: what each side takes of a device; None if it is not known.
    """

    free: Sequence[Gpu]
    busy: Sequence[str]
    served: ServedMemory | None


def choose_placement(
    variant: ResolvedVariant, sides: int, room: Room, forced: PlacementName | None
) -> PlacementChoice:
    """Choose the placement of the sides of a variant.

    Args:
        variant: gives target and devices of each side.
        sides: the engine and its references.
        room: what the host has for them.
        forced: the placement that the user wants; None: the best one that is possible.

    Raises:
        GpusUnavailable: processes that are not of this program leave too few GPUs for even one side.
        PlacementImpossible: the host cannot place the sides as the user wants.
    """
    if variant.target.gpu is None:
        return _on_cpu(forced)
    if len(room.free) < variant.devices:
        raise _taken(variant, room)
    sharing = estimate_sharing(variant, room.served, sides)
    obstacles: dict[PlacementName, str] = {
        "together": _lacks_gpus(variant, sides, room),
        "shared": sharing.obstacle,
        "in-turn": "",
    }
    if forced and obstacles[forced]:
        raise PlacementImpossible(
            f"the sides of variant {variant.name} cannot be measured {forced}: {obstacles[forced]}",
            where=f"{SETTING}={forced}",
            fix=f"unset {SETTING}: then the placement is chosen by memory and GPUs",
        )
    reasons: dict[PlacementName, str] = {
        "together": f"{len(room.free)} GPUs are free, and {sides} sides need {variant.devices} each",
        "shared": f"{obstacles['together']}; {sharing.reason}",
        "in-turn": f"{obstacles['together']}; {sharing.obstacle}",
    }
    best = next(name for name, obstacle in obstacles.items() if not obstacle)
    name = best if forced is None else forced
    return PlacementChoice(
        name=name,
        reason=reasons[name] if forced is None else f"{SETTING} says so",
        memory_share=sharing.share if name == "shared" else None,
    )


def _on_cpu(forced: PlacementName | None) -> PlacementChoice:
    if forced:
        return PlacementChoice(name=forced, reason=f"{SETTING} says so")
    return PlacementChoice(name="together", reason="a CPU host holds all sides")


def _lacks_gpus(variant: ResolvedVariant, sides: int, room: Room) -> str:
    needed, free = variant.devices * sides, len(room.free)
    if free >= needed:
        return ""
    taken = f" ({'; '.join(room.busy)})" if room.busy else ""
    are = "is" if free == 1 else "are"
    return f"{sides} sides on GPUs of their own need {needed}, and {free} {are} free{taken}"


def _taken(variant: ResolvedVariant, room: Room) -> GpusUnavailable:
    """The error if foreign processes leave too few GPUs."""
    return GpusUnavailable(
        f"too few GPUs are free to measure {variant.name}: {len(room.free)} of {variant.devices}",
        where="; ".join(room.busy) or "this host has no other suitable GPUs",
        fix="end the processes that compute on them, or measure on another host",
    )
