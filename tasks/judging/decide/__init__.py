"""From the outcomes of the gates to one verdict. Pure.

So are the decisions before that: whether compiling is worth trying, whether an engine is worth timing, and
whether a measurement may be reused.
"""

from tasks.judging.decide.baseline import (
    BaselineTerms,
    Go,
    Stay,
    baseline_decision,
    lacks_open_loop,
    load_figures,
    objective_needs,
    suffices_so_far,
)
from tasks.judging.decide.outcomes import Outcomes
from tasks.judging.decide.screening import (
    has_looked,
    is_accurate,
    is_conclusive,
    is_exhausted,
    lacks_engine_in_open_loop,
    qualifies,
    rejecting,
)
from tasks.judging.decide.table import verdict_table
from tasks.judging.decide.verdict import Verdict, decide, decide_baseline

__all__ = [
    "BaselineTerms",
    "Go",
    "Outcomes",
    "Stay",
    "Verdict",
    "baseline_decision",
    "decide",
    "decide_baseline",
    "has_looked",
    "is_accurate",
    "is_conclusive",
    "is_exhausted",
    "lacks_engine_in_open_loop",
    "lacks_open_loop",
    "load_figures",
    "objective_needs",
    "qualifies",
    "rejecting",
    "suffices_so_far",
    "verdict_table",
]
