"""What blocks take of a budget: which references it allows, and how many rounds and cycles there are.

Starts and stops count against the budget. References that it does not allow are left out before the first
block, whatever their speed, unless the spec declares them.
"""

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.endpoint import Side
from tasks.judging.measure.phases import SECONDS_PER_MINUTE
from tasks.judging.placement import Placement
from tasks.judging.protocol import JudgingProtocol, SpeedPlan
from tasks.judging.results import LeftOut

LEAST_PAIRS = 3
LEAST_ROUNDS, MOST_ROUNDS = 3, 12


class BlockPlan(Frozen):
    """What is decided before the first block, by the starts until then."""

    left_out: tuple[LeftOut, ...] = Field(description="References that the budget does not allow.")
    refused: str = Field(description="Why no block is made, in a sentence; empty if some are.")


def plan_blocks(placement: Placement, references: Sequence[Side], protocol: JudgingProtocol) -> BlockPlan:
    """Decide which references the budget allows, if it allows any; all sides have been started before."""
    every = _starts_of(placement, (protocol.engine, *references))
    going, left_out = affordable_references(every, references, protocol)
    sides = [side.name for side in (protocol.engine, *going)]
    too_few = too_few_blocks({name: every[name] for name in sides if name in every}, protocol.speed)
    return BlockPlan(left_out=left_out, refused=f"No round was timed: {too_few}" if too_few else "")


def _starts_of(placement: Placement, sides: Sequence[Side]) -> dict[str, float]:
    """Return the seconds that the latest start of each of these sides took, by name."""
    names = [side.name for side in sides]
    return {one.side: one.ready_s for one in placement.conditions().starts if one.side in names}


def affordable_references(
    starts: Mapping[str, float], references: Sequence[Side], protocol: JudgingProtocol
) -> tuple[list[Side], tuple[LeftOut, ...]]:
    """Return the references whose blocks the budget allows, and which are left out and why.

    The first ones are left out first: the last ones hold what makes vLLM faster. Those that the spec declares
    stay, and so does the last one.
    """
    names = [protocol.engine.name, *(side.name for side in references)]
    every = {name: starts[name] for name in names if name in starts}
    going, left_out = list(references), list[LeftOut]()
    for side in references:
        rest = {name: every[name] for name in names if name in every and name not in _names(left_out)}
        if len(going) == 1 or not too_few_blocks(rest, protocol.speed):
            break
        if "declared" not in side.roles:
            going.remove(side)
            minutes = math.ceil(_least_s(every) / SECONDS_PER_MINUTE)
            left_out.append(
                LeftOut(
                    reference=side.name,
                    reason=f"blocks of all references take {minutes} min at least, and the budget is "
                    f"{protocol.speed.gate.budget_minutes:g} min",
                )
            )
    return going, tuple(left_out)


def _names(left_out: Sequence[LeftOut]) -> set[str]:
    return {one.reference for one in left_out}


def too_few_blocks(starts: Mapping[str, float], plan: SpeedPlan) -> str:
    """Say what blocks would take if the budget allows too few of them; empty if it allows enough.

    `starts` are the seconds that starts of the sides took, by name; of one side alone, it says what is needed
    at least.
    """
    needed_s = _least_s(starts)
    if needed_s <= plan.gate.budget_minutes * SECONDS_PER_MINUTE:
        return ""
    minutes = math.ceil(needed_s / SECONDS_PER_MINUTE)
    shown = ", ".join(f"{name} {ready_s:.0f} s" for name, ready_s in starts.items())
    return (
        f"in turn, at least {LEAST_PAIRS} pairs of blocks are needed. By the starts so far ({shown}), they "
        f"take about {minutes} min, and the budget is {plan.gate.budget_minutes:g} min. Raise "
        f"validation.speed.budget_minutes to {minutes} or more, or measure on a host that holds all sides "
        "at once."
    )


def _least_s(starts: Mapping[str, float]) -> float:
    """Return the seconds of the fewest cycles: the rounds of a block take about as long as its start."""
    return LEAST_PAIRS * 2 * sum(starts.values())


def rounds_of_a_block(ready_s: float, round_s: float) -> int:
    """Return how many rounds take about as long as a start."""
    return max(LEAST_ROUNDS, min(MOST_ROUNDS, math.ceil(ready_s / round_s)))


def first_block_cycles(plan: SpeedPlan, left_s: float, cycle_s: float) -> int:
    """Return the cycles before the first look: as declared, or fewer if what is left of the budget ends."""
    affordable = math.floor(left_s / cycle_s)
    return max(LEAST_PAIRS, min(plan.first_block_pairs, affordable))
