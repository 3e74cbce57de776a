"""The sides of a comparison: the engine and its references, and bringing them up.

Promises: each side is served from exactly its tree; only one measurement at a time runs on a host.
"""

from tasks.comparison.host_selection import (
    HostVariants,
    devices_at_once,
    divide_by_host,
    lacks_for_measuring,
    require_measurable,
)
from tasks.comparison.serve import together
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
    "HostVariants",
    "devices_at_once",
    "divide_by_host",
    "engine_side",
    "judging_protocol",
    "lacks_for_measuring",
    "load_plan",
    "occupied_devices",
    "reference_sides",
    "require_measurable",
    "together",
]
