"""The sides of a comparison: the engine and its references, where and when they run, and bringing them up.

Promises: each side is served from exactly its tree; only one measurement at a time runs on a host; where and
when sides run is recorded with its reason.
"""

from tasks.comparison.host_selection import HostVariants, divide_by_host
from tasks.comparison.measurement import Comparison, measure_sides
from tasks.comparison.placements import resident_sides, sides_in_turn
from tasks.comparison.questions import accuracy_plan, window_groups
from tasks.comparison.references import (
    NOTHING_SERVED,
    References,
    ReferenceTrees,
    loads_weights,
    reference_sides,
    references_of,
)
from tasks.comparison.room import placement_here, placement_obstacles, served_memory
from tasks.comparison.second_opinions import (
    BENCHMARK_WORKER,
    BenchmarkOpinion,
    BenchmarkPlan,
    opinion_toolchains,
)
from tasks.comparison.sides import (
    ENGINE,
    engine_side,
    judging_protocol,
    load_plan,
    occupied_devices,
    speed_plan,
)

__all__ = [
    "BENCHMARK_WORKER",
    "ENGINE",
    "NOTHING_SERVED",
    "BenchmarkOpinion",
    "BenchmarkPlan",
    "Comparison",
    "HostVariants",
    "ReferenceTrees",
    "References",
    "accuracy_plan",
    "divide_by_host",
    "engine_side",
    "judging_protocol",
    "load_plan",
    "loads_weights",
    "measure_sides",
    "occupied_devices",
    "opinion_toolchains",
    "placement_here",
    "placement_obstacles",
    "reference_sides",
    "references_of",
    "resident_sides",
    "served_memory",
    "sides_in_turn",
    "speed_plan",
    "window_groups",
]
