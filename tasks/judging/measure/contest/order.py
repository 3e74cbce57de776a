"""The order of the sides within a cycle. Pure."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

SideT = TypeVar("SideT")


def order_of(seed: int, cycle: int, sides: int) -> tuple[int, ...]:
    """Return the places of the sides in the order in which a cycle asks them.

    The order is drawn by lot for every other cycle, whose next is the reverse. So drift cancels over two
    cycles, and what comes back periodically favours no side.
    """
    order = list(range(sides))
    Random(f"{seed}/order/{cycle // 2}").shuffle(order)  # noqa: S311  no secret
    return tuple(order[::-1] if cycle % 2 else order)


def in_order(
    asked: Sequence[SideT], all_sides: Sequence[SideT], seed: int, cycle: int
) -> list[tuple[int, SideT]]:
    """Return the sides that a cycle asks, in order, each with its place among the rounds of all cycles.

    The order of the sides that are left does not depend on which others are.
    """
    count = len(all_sides)
    ordered = (all_sides[place] for place in order_of(seed, cycle, count))
    return [(count * cycle + turn, side) for turn, side in enumerate(ordered) if side in asked]
