"""What an engine is worth: the gate on economics, and the capacity of both sides, with which it counts."""

from tasks.judging.gates.money.capacity import Capacity, hoped_capacities
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
    "compare_months",
    "hoped_capacities",
    "money_map",
    "money_tiles",
]
