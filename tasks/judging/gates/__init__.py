"""Gates: the questions that an engine has to pass. A gate reads what was measured, and gives a reason. Pure.

There is one file per gate, behind one interface (`gate`); `registry` lists the gates in the order in which
they decide. Other code iterates over `all_gates()`, and names none of them.
"""

from tasks.judging.gates.capacity import Capacity, capacity_alone
from tasks.judging.gates.economics import (
    WAY_OF_COUNTING,
    EconomicsOutcome,
    compare_months,
    money_map,
    money_tiles,
)
from tasks.judging.gates.figures import Figure, Map, Shown, Tile, Use, interval_figure
from tasks.judging.gates.gate import UNTIMED, Evidence, Gate, GateOutcome, Terms
from tasks.judging.gates.registry import all_gates, judge_gates
from tasks.judging.gates.rule import HOST_BUSY, NOT_MEASURED, Rule, VerdictName
from tasks.judging.gates.slo import latency_figures, meets

__all__ = [
    "HOST_BUSY",
    "NOT_MEASURED",
    "UNTIMED",
    "WAY_OF_COUNTING",
    "Capacity",
    "EconomicsOutcome",
    "Evidence",
    "Figure",
    "Gate",
    "GateOutcome",
    "Map",
    "Rule",
    "Shown",
    "Terms",
    "Tile",
    "Use",
    "VerdictName",
    "all_gates",
    "capacity_alone",
    "compare_months",
    "interval_figure",
    "judge_gates",
    "latency_figures",
    "meets",
    "money_map",
    "money_tiles",
]
