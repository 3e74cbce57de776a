"""What idle sides cost: shown to be nothing that matters, or sides do not share GPUs."""

import pytest

from tasks.judging.results import IdleCheck, Interval


@pytest.mark.parametrize(
    ("lower", "upper", "clear", "nothing"),
    [
        (0.99, 1.01, True, True),
        (0.96, 0.99, True, True),
        (0.91, 1.02, False, True),
        (0.94, 0.99, False, False),
        (0.888, 0.978, False, False),
        (0.90, 0.94, True, False),
        (0.89, 1.10, False, False),
    ],
)
def test_what_idle_sides_cost_is_judged_by_the_interval(
    lower: float, upper: float, clear: bool, nothing: bool
) -> None:
    ratio = Interval(estimate=(lower + upper) / 2, lower=lower, upper=upper, confidence=0.95)
    check = IdleCheck(side="engine", ratio=ratio, log_ratios=(0.0,) * 4, tolerance=0.05)
    assert (check.is_clear, check.costs_nothing) == (clear, nothing)
