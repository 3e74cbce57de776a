"""Rules between fields of a spec: what no field can check by itself.

Promises: each reads plain data and yields what is wrong, with what would be accepted; one that needs a
value which could not be read stays silent, as that error is already reported.
"""

from engine_specs.spec.rules.parallel import parallel_violations
from engine_specs.spec.rules.spec import READY_MADE, needs_calibration, violations
from engine_specs.spec.rules.violation import UNREADABLE, View

__all__ = [
    "READY_MADE",
    "UNREADABLE",
    "View",
    "needs_calibration",
    "parallel_violations",
    "violations",
]
