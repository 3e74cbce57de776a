"""What an engine is worth: the gate on economics, and the capacity of both sides, with which it counts."""

from tasks.judging.gates.money.capacity import Capacity, capacity_alone
from tasks.judging.gates.money.economics import (
    WAY_OF_COUNTING,
    EconomicsGate,
    EconomicsOutcome,
    compare_months,
    money_map,
    money_tiles,
)

__all__ = [
    "WAY_OF_COUNTING",
    "Capacity",
    "EconomicsGate",
    "EconomicsOutcome",
    "capacity_alone",
    "compare_months",
    "money_map",
    "money_tiles",
]
