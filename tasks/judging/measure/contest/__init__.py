"""The engine against each reference: in which order they are asked, when to look, and when it is decided.

Promises:
- The engine has to beat every reference, each by itself at the full error. A side that has to win all of its
  comparisons to win falsely shares no error between them (an intersection-union test), and nobody has to
  choose the fastest reference beforehand.
- In a cycle, the engine and every reference that it has not beaten yet are asked once. Of every two cycles,
  one is made in reverse order, so drift cancels in each comparison.
- A reference that was beaten is not asked again. Once the engine cannot win any more, nobody is.
"""

from tasks.judging.measure.contest.alternation import compare_in_rounds
from tasks.judging.measure.contest.block_budget import (
    BlockPlan,
    plan_blocks,
    rounds_of_a_block,
    too_few_blocks,
)
from tasks.judging.measure.contest.blocks import compare_in_blocks
from tasks.judging.measure.contest.order import order_of
from tasks.judging.measure.contest.sweep import sweep_in_rounds

__all__ = [
    "BlockPlan",
    "compare_in_blocks",
    "compare_in_rounds",
    "order_of",
    "plan_blocks",
    "rounds_of_a_block",
    "sweep_in_rounds",
    "too_few_blocks",
]
