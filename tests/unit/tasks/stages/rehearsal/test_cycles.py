"""Which side is asked when, how often, and what is compared with what."""

from collections import Counter

import pytest
from support.judging.judgements import protocol, side, speed_point

from tasks.judging.results import RoundResult
from tasks.stages.rehearsal.cycles import LEAST_CYCLES, MOST_CYCLES, affordable_cycles, in_order_of_cycle
from tasks.stages.rehearsal.records import ratios_of, speed_of
from tasks.stages.rehearsal.session import NEW_REFERENCE, REBUILT, REFERENCE, RELEASED, compared

NAMES = (REFERENCE, NEW_REFERENCE, RELEASED, REBUILT)
SIDES = [side(name) for name in NAMES]


def order(seed: int, cycle: int) -> list[str]:
    return [one.name for one in in_order_of_cycle(SIDES, seed, cycle)]


def test_every_second_cycle_is_the_reverse_of_the_one_before() -> None:
    for cycle in range(0, 20, 2):
        assert order(7, cycle) == order(7, cycle + 1)[::-1]
        assert sorted(order(7, cycle)) == sorted(NAMES)


def test_the_lot_favours_no_side() -> None:
    firsts = Counter(order(seed, 0)[0] for seed in range(400))
    assert set(firsts) == set(NAMES)
    assert min(firsts.values()) > 60


@pytest.mark.parametrize(
    ("budget_minutes", "cycle_s", "cycles"),
    [(1, 10, 6), (1, 11, 4), (1, 100, LEAST_CYCLES), (100, 1, MOST_CYCLES)],
)
def test_the_budget_alone_decides_how_many_cycles_there_are(
    budget_minutes: float, cycle_s: float, cycles: int
) -> None:
    assert affordable_cycles(budget_minutes, cycle_s) == cycles


def test_sides_that_do_not_differ_are_compared_once() -> None:
    assert len(compared(NAMES)) == 5
    assert compared((REFERENCE, RELEASED, REBUILT)) == [
        (RELEASED, REFERENCE),
        (REBUILT, REFERENCE),
        (REBUILT, RELEASED),
    ]
    assert compared((REFERENCE, NEW_REFERENCE, RELEASED)) == [
        (RELEASED, REFERENCE),
        (RELEASED, NEW_REFERENCE),
        (NEW_REFERENCE, REFERENCE),
    ]


def rounds(rates: dict[str, float], cycles: int, slower_per_round: float) -> list[RoundResult]:
    """Rounds in the order of cycles, on a host that becomes slower all the time."""
    (like, *_) = speed_point(1.0, noise=0.0, pairs=3, rate=96.0).rounds
    made: list[RoundResult] = []
    for cycle in range(cycles):
        for one in in_order_of_cycle([side(name) for name in rates], 3, cycle):
            wall_s = 96.0 / rates[one.name] * (1 + slower_per_round) ** len(made)
            changes = {"side": one.name, "block": len(made), "index": len(made), "wall_s": wall_s}
            made.append(like.model_copy(update=changes))
    return made


def test_ratios_hold_on_a_host_that_becomes_slower() -> None:
    true = {REFERENCE: 500.0, NEW_REFERENCE: 550.0, RELEASED: 1000.0, REBUILT: 1200.0}
    made = rounds(true, 16, 0.002)
    found = ratios_of(compared(NAMES), made, protocol().speed)
    assert [(one.side, one.to) for one in found] == compared(NAMES)
    for one in found:
        assert one.ratio.estimate == pytest.approx(true[one.side] / true[one.to], rel=0.002)
        assert one.ratio.lower < true[one.side] / true[one.to] < one.ratio.upper
        assert one.ratio.confidence == pytest.approx(1 - 0.05 / len(found))
    speed = speed_of(REBUILT, made, "throughput_per_device")
    assert speed.lower < speed.estimate < speed.upper < 1200.0
