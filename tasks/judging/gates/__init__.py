"""Gates: the questions that an engine has to pass. A gate reads what was measured, and gives a reason. Pure.

There is one file per gate, behind one interface (`gate`), in the folder of what it reads: `answers` or
`rounds`; that on prices is in `money`, with what it counts. `registry` lists the gates in the order in which
they decide. Other code iterates over `all_gates()`, and names none of them.
"""

from tasks.judging.gates.answers.depth import tested_part, worst_of
from tasks.judging.gates.answers.length import judge_lengths
from tasks.judging.gates.answers.task_scores import loss_outcome
from tasks.judging.gates.figures import Figure, Map, Shown, Tile, Use, interval_figure
from tasks.judging.gates.gate import UNASKED, UNTIMED, Evidence, Gate, GateOutcome, Terms, Tested
from tasks.judging.gates.money import (
    WAY_OF_COUNTING,
    Capacity,
    EconomicsOutcome,
    compare_months,
    hoped_capacities,
    money_map,
    money_tiles,
)
from tasks.judging.gates.registry import all_gates, judge_gates, sample_warnings
from tasks.judging.gates.rounds.slo import latency_figures
from tasks.judging.gates.rounds.speed import SpeedOutcome
from tasks.judging.gates.rule import HOST_BUSY, NOT_MEASURED, Rule, VerdictName

__all__ = [
    "HOST_BUSY",
    "NOT_MEASURED",
    "UNASKED",
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
    "SpeedOutcome",
    "Terms",
    "Tested",
    "Tile",
    "Use",
    "VerdictName",
    "all_gates",
    "compare_months",
    "hoped_capacities",
    "interval_figure",
    "judge_gates",
    "judge_lengths",
    "latency_figures",
    "loss_outcome",
    "money_map",
    "money_tiles",
    "sample_warnings",
    "tested_part",
    "worst_of",
]
