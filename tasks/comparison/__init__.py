"""The sides of a comparison: who is measured against whom, and bringing them up.

Promises: each side is served from exactly its tree; one measurement at a time runs on a host.
"""

from tasks.comparison.serve import served
from tasks.comparison.sides import (
    ENGINE,
    engine_side,
    judging_protocol,
    load_plan,
    occupied_devices,
    reference_sides,
)

__all__ = [
    "ENGINE",
    "engine_side",
    "judging_protocol",
    "load_plan",
    "occupied_devices",
    "reference_sides",
    "served",
]
